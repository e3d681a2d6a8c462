"""Wrong and other right answers to the exercises of lesson 05."""

from mistakes import Mistake, Variant

COUNTING = """\
def stop_early(val_losses, patience):
    lowest, kept, count = float("inf"), 0, 0
    for i, loss in enumerate(val_losses):
        if loss < lowest:
            lowest, kept, count = loss, i, 0
        else:
            count += 1
        if count == patience:
            return kept, i
    return kept, len(val_losses) - 1
"""

POLYFIT = "np.polyfit(np.log(amounts), np.log(left), 1)"

WINDOW_MIDDLE = "int(torch.randn((), generator=self.generator) * 2 + num_places / 2)"

GETITEM = """\
        start = torch.randint(num_places, (), generator=self.generator).item()
"""

MISTAKES = [
    Mistake(
        "stop_early",
        "loss < val_losses[kept]",
        "loss < val_losses[i - 1] or i == 0",
        says="compared with the one before",
    ),
    Mistake(
        "stop_early",
        None,
        COUNTING.replace("lowest, kept, count = loss, i, 0", "lowest, kept = loss, i"),
        says="the count is never set back",
    ),
    Mistake(
        "stop_early",
        None,
        COUNTING.replace("count == patience", "count > patience"),
        says="one evaluation too late",
    ),
    Mistake(
        "stop_early",
        "i - kept == patience",
        "i - kept == max(patience - 1, 1)",
        says="one evaluation too early",
    ),
    Mistake(
        "stop_early",
        "loss < val_losses[kept]",
        "loss <= val_losses[kept]",
        says="a loss equal to the lowest counts as better",
    ),
    Mistake(
        "stop_early",
        "return kept, i",
        "seen = val_losses[: i + 1]\n"
        "    return max(j for j in range(i + 1) if seen[j] == min(seen)), i",
        says="of equal losses the later one is kept",
    ),
    Mistake(
        "stop_early",
        "return kept, i",
        "return val_losses.index(min(val_losses)), i",
        says="beyond the end of the run",
    ),
    Mistake("stop_early", "return kept, i", "return i, i", says="last evaluation is"),
    Mistake("stop_early", "return kept, i", "return i, kept", says="swapped"),
    Mistake("stop_early", "return kept, i", "return kept + 1, i + 1", says="from 1"),
    Mistake("stop_early", "            break", "            pass", says="never ends"),
    Mistake(
        "stop_early",
        None,
        COUNTING.replace("    return kept, len(val_losses) - 1\n", ""),
        says="nothing comes back",
    ),
    Mistake(
        "stop_early",
        "    kept = 0\n",
        "    kept = 0\n    val_losses.sort()\n",
        says="the list of losses is changed",
    ),
    Mistake(
        "stop_early",
        None,
        COUNTING.replace('float("inf")', "10"),
        says="the lowest loss so far starts at a number",
    ),
    Mistake(
        "stop_early",
        None,
        COUNTING.replace('float("inf"), 0, 0', "100, None, 0"),
        says="the lowest loss so far starts at a number",
    ),
    Mistake(
        "stop_early",
        None,
        COUNTING.replace('float("inf")', "val_losses[0]").replace(
            "loss < lowest", "loss < lowest - 1e-3 or i == 0"
        ),
        says="a small gain is not counted",
    ),
    Mistake(
        "stop_early",
        "return kept, i",
        "return val_losses[kept], val_losses[i]",
        says="positions, not losses",
    ),
    Mistake(
        "stop_early", "return kept, i", "return kept + 0.5, i", says="two positions"
    ),
    Mistake("paired_difference", "/ (n - 1)", "/ n", says="the variance is divided by"),
    Mistake(
        "paired_difference",
        "math.sqrt(variance / n)",
        "math.sqrt(variance)",
        says="the standard deviation of one difference: divide",
    ),
    Mistake(
        "paired_difference",
        "math.sqrt(variance / n)",
        "float(np.std(differences))",
        says="and with n in place of n - 1",
    ),
    Mistake(
        "paired_difference",
        "math.sqrt(variance / n)",
        "math.sqrt(variance) / n",
        says="divided by n: divide by its square root",
    ),
    Mistake(
        "paired_difference",
        "math.sqrt(variance / n)",
        "variance / n",
        says="the squared standard error",
    ),
    Mistake(
        "paired_difference",
        "math.sqrt(variance / n)",
        "math.sqrt((np.var(losses, ddof=1) + np.var(other_losses, ddof=1)) / n)",
        says="the pairs are torn apart",
    ),
    Mistake(
        "paired_difference",
        "math.sqrt(variance / n)",
        "math.sqrt(variance / (n - 1))",
        says="n - 1 divides twice",
    ),
    Mistake("paired_difference", "[a - b", "[b - a", says="the sign is turned round"),
    Mistake(
        "paired_difference", "[a - b", "[abs(a - b)", says="of absolute differences"
    ),
    Mistake(
        "adamw_step",
        "parameter.mul_(1 - group['lr'] * decay)".replace("'", '"'),
        "parameter.grad += decay * parameter",
        says="the decay goes through the gradient",
    ),
    Mistake(
        "adamw_step",
        None,
        "def adamw_step(adam, decay):\n"
        "    for group in adam.param_groups:\n"
        "        group['weight_decay'] = decay\n"
        "    adam.step()\n",
        says="the decay goes through the gradient",
    ),
    Mistake(
        "adamw_step",
        "parameter.mul_(1 - group",
        "parameter = parameter * (1 - group",
        says="the weights are not shrunk",
    ),
    Mistake("adamw_step", 'group["lr"] * decay', "decay", says="the learning rate is"),
    Mistake("adamw_step", "1 - group", "1 + group", says="the weights grow"),
    Mistake("adamw_step", "1 - group", "group", says="that is what they lose"),
    Mistake("adamw_step", "    adam.step()", "    pass", says="only the decay moves"),
    Mistake(
        "adamw_step",
        None,
        "def adamw_step(adam, decay):\n"
        "    adam.step()\n"
        "    for group in adam.param_groups:\n"
        "        for parameter in group['params']:\n"
        "            parameter.data *= 1 - group['lr'] * decay\n",
        says="the shrinking comes after Adam's step",
    ),
    Mistake(
        "adamw_step",
        '1 - group["lr"]',
        '1 - adam.param_groups[0]["lr"]',
        says="the rate of the first group",
    ),
    Mistake(
        "adamw_step",
        '1 - group["lr"]',
        '1 - adam.defaults["lr"]',
        says="with which the optimizer was made",
    ),
    Mistake(
        "adamw_step",
        None,
        "def adamw_step(adam, decay):\n"
        "    torch.optim.AdamW(adam.param_groups, weight_decay=decay).step()\n",
        says="averages begin anew",
    ),
    Mistake(
        "adamw_step",
        'in group["params"]',
        'in group["params"][:1]',
        says="the weights after three steps should be",
    ),
    Mistake(
        "adamw_step",
        "if parameter.grad is not None",
        "if parameter.grad is not None and parameter.ndim > 1",
        says="all weights decay, whatever their shape",
    ),
    Mistake(
        "adamw_step",
        "if parameter.grad is not None",
        "if True",
        says="a parameter without a gradient has moved",
    ),
    Mistake(
        "adamw_step",
        "    with torch.no_grad():",
        "    with torch.enable_grad():",
        says="stops with RuntimeError",
    ),
    Mistake("Dropout", " / (1 - self.p)", "", says="what is left is not scaled"),
    Mistake(
        "Dropout", " / (1 - self.p)", " * (1 - self.p)", says="multiplied by 1 - p"
    ),
    Mistake("Dropout", " / (1 - self.p)", " / self.p", says="divided by p"),
    Mistake("Dropout", "if not self.training:", "if False:", says="in eval mode: look"),
    Mistake(
        "Dropout",
        "            return x\n",
        "            return x / (1 - self.p)\n",
        says="divided by 1 - p in eval mode too",
    ),
    Mistake(
        "Dropout",
        "            return x\n",
        "            return x * (1 - self.p)\n",
        says="multiplied by 1 - p in eval mode",
    ),
    Mistake("Dropout", ">= self.p", "< self.p", says="not to be kept"),
    Mistake("Dropout", ">= self.p", ">= self.p * 0.96", says="which is no accident"),
    Mistake("Dropout", "rand_like(x)", "rand(x.shape[1:])", says="the first axis"),
    Mistake("Dropout", "rand_like(x)", "rand(x.shape[-1])", says="the first axis"),
    Mistake(
        "Dropout", "rand_like(x)", "rand(x.shape[:-1])[..., None]", says="the last axis"
    ),
    Mistake(
        "Dropout",
        "rand_like(x)",
        "rand(x.shape, generator=torch.Generator().manual_seed(0))",
        says="the same values are dropped at each call",
    ),
    Mistake(
        "Dropout",
        "torch.rand_like(x)",
        "torch.tensor(np.random.rand(*x.shape))",
        says="draw from PyTorch's global generator",
    ),
    Mistake(
        "Dropout",
        "torch.rand_like(x)",
        "torch.randperm(x.numel()).view(x.shape) / x.numel()",
        says="of 4 values always 2 are dropped",
    ),
    Mistake(
        "Dropout",
        "return x * is_kept",
        "x[~is_kept] = 0\n        return x",
        says="the input itself is changed",
    ),
    Mistake(
        "Dropout", "return x * is_kept", "return x[is_kept]", says="of the shape (8, 64"
    ),
    Mistake(
        "Dropout", "return x * is_kept", "return x.data * is_kept", says="no gradient"
    ),
    Mistake("Dropout", None, "Dropout = nn.Dropout", says="is PyTorch's own"),
    Mistake("Dropout", "super().__init__()", "pass", says="call `super().__init__()`"),
    Mistake(
        "Dropout",
        "return x * is_kept",
        "return x.float() * is_kept",
        says="should be torch.float64, as the input is",
    ),
    Mistake(
        "power_law", "np.array(losses) - floor", "losses", says="floor is forgotten"
    ),
    Mistake("power_law", "(losses) - floor", "(losses) + floor", says="floor is added"),
    Mistake("power_law", "-slope", "slope", says="has the wrong sign"),
    Mistake(
        "power_law", "np.exp(intercept), -slope", "-slope, np.exp(intercept)", "swapped"
    ),
    Mistake(
        "power_law", "np.exp(intercept)", "intercept", says="`np.exp` turns it back"
    ),
    Mistake(
        "power_law",
        "np.exp(intercept)",
        "intercept / np.log(10)",
        says="take 10 to its power",
    ),
    Mistake(
        "power_law",
        POLYFIT,
        "np.polyfit(np.log10(amounts), np.log10(left), 1)",
        says="undo `np.log10` with 10",
    ),
    Mistake(
        "power_law", "np.exp(intercept)", "10**intercept", says="undo `np.log` with"
    ),
    Mistake(
        "power_law", "np.log(amounts)", "np.log10(amounts)", says="have different log"
    ),
    Mistake("power_law", "np.log(amounts)", "amounts", says="only the losses have"),
    Mistake("power_law", "np.log(left)", "left", says="only the amounts have"),
    Mistake(
        "power_law",
        POLYFIT,
        "np.polyfit(np.log(amounts)[[0, -1]], np.log(left)[[0, -1]], 1)",
        says="the first and the last point only",
    ),
    Mistake(
        "power_law",
        POLYFIT,
        "np.polyfit(np.log(left), np.log(amounts), 1)\n"
        "    slope, intercept = 1 / slope, -intercept / slope",
        says="the axes are exchanged",
    ),
    Mistake(
        "RandomWindows",
        "len(self.tokens) - self.context_len\n",
        "len(self.tokens) - self.context_len - 1\n",
        says="the last window that fits is never drawn",
    ),
    Mistake(
        "RandomWindows",
        "len(self.tokens) - self.context_len\n",
        "len(self.tokens) - self.context_len + 1\n",
        says="must not run over the end",
    ),
    Mistake(
        "RandomWindows",
        "num_places, (), generator",
        "1, num_places, (), generator",
        says="no window begins at the first token",
    ),
    Mistake(
        "RandomWindows",
        ", generator=self.generator",
        "",
        says="the global generator is",
    ),
    Mistake(
        "RandomWindows",
        GETITEM,
        "        self.generator.manual_seed(0)\n" + GETITEM,
        says="all windows begin at the same place",
    ),
    Mistake(
        "RandomWindows",
        GETITEM,
        f"        start = min(max({WINDOW_MIDDLE}, 0), num_places - 1)\n",
        says="the places are not equally likely",
    ),
    Mistake(
        "RandomWindows",
        GETITEM,
        "        start = self.starts[index]\n",
        says="stops with AttributeError",
    ),
    Mistake(
        "RandomWindows",
        GETITEM,
        "        if not hasattr(self, 'starts'):\n"
        "            shape = (self.num_windows,)\n"
        "            self.starts = torch.randint(\n"
        "                num_places, shape, generator=self.generator\n"
        "            )\n"
        "        start = self.starts[index].item()\n",
        says="the second epoch has the windows of the first",
    ),
    Mistake(
        "RandomWindows",
        GETITEM,
        "        if index == 0:\n"
        "            shape = (self.num_windows,)\n"
        "            self.starts = torch.randint(\n"
        "                num_places, shape, generator=self.generator\n"
        "            )\n"
        "        start = self.starts[index].item()\n",
        says="the same index brings the same window again",
    ),
    Mistake(
        "RandomWindows",
        GETITEM,
        "        start = int(np.random.randint(num_places))\n",
        says="the same seed brings other windows",
    ),
    Mistake(
        "RandomWindows",
        "self.generator = generator",
        "self.generator = torch.Generator().manual_seed(0)",
        says="another seed brings the same windows",
    ),
    Mistake(
        "RandomWindows",
        "self.generator = generator",
        "self.generator = torch.Generator()\n"
        "        self.generator.set_state(generator.get_state())",
        says="the draws come from a copy",
    ),
    Mistake(
        "RandomWindows",
        GETITEM,
        "        if not getattr(self, 'places', None):\n"
        "            order = torch.randperm(num_places, generator=self.generator)\n"
        "            self.places = order.tolist()\n"
        "        start = self.places.pop()\n",
        says="no number is drawn from `generator` in an epoch",
    ),
    Mistake(
        "RandomWindows",
        GETITEM
        + "        window = self.tokens[start : start + self.context_len + 1]\n",
        "        size = len(self.tokens)\n"
        "        start = torch.randint(size, (), generator=self.generator)\n"
        "        places = (start + torch.arange(self.context_len + 1)) % size\n"
        "        window = self.tokens[places]\n",
        says="runs over the end and goes on at the beginning",
    ),
    Mistake(
        "RandomWindows",
        "        if index >= self.num_windows:\n"
        '            raise IndexError(f"window {index} of {self.num_windows}")\n',
        "",
        says="would not end",
    ),
    Mistake(
        "RandomWindows",
        "return window[:-1], window[1:]",
        "return window[:-1], window[:-1]",
        says="the targets are the inputs",
    ),
    Mistake("RandomWindows", "return window[:-1], ", "return ", says="two things"),
    Mistake(
        "RandomWindows",
        "return self.num_windows",
        "return len(self.tokens) - self.context_len",
        says="how many windows make an epoch",
    ),
    Mistake(
        "split_starts",
        "range(0, cut - context_len, stride)",
        "range(0, cut - context_len + 1, stride)",
        says="the last target of a training window is the first token of validation",
    ),
    Mistake(
        "split_starts",
        "range(0, cut - context_len, stride)",
        "range(0, cut, stride)",
        says="the two share tokens",
    ),
    Mistake(
        "split_starts",
        "range(0, cut - context_len, stride)",
        "range(0, cut - context_len - 1, stride)",
        says="the last of the training windows that fit is missing",
    ),
    Mistake(
        "split_starts",
        "range(cut, num_tokens - context_len, stride)",
        "range(cut, num_tokens - context_len - 1, stride)",
        says="the last of the validation windows that fit is missing",
    ),
    Mistake(
        "split_starts",
        "num_tokens - context_len, stride",
        "num_tokens - context_len + 1, stride",
        says="a validation window's last target would be",
    ),
    Mistake(
        "split_starts",
        "range(cut, num_tokens - context_len, stride)",
        "range(cut, num_tokens - context_len, context_len)",
        says="`stride` tokens later",
    ),
    Mistake(
        "split_starts",
        "range(cut, num",
        "range(cut + context_len, num",
        says="the first token of its part",
    ),
    Mistake(
        "split_starts",
        "    return train, val",
        "    starts = list(range(0, num_tokens - context_len, stride))\n"
        "    split = round(len(starts) * (1 - val_fraction))\n"
        "    return starts[:split], starts[split:]",
        says="first cut the tokens in two",
    ),
    Mistake(
        "split_starts",
        "    return train, val",
        "    return train, [start - cut for start in val]",
        says="add `cut`",
    ),
    Mistake(
        "split_starts",
        "cut = round(",
        "cut = int(",
        says="the cut is at 42, and should be at 43: take `round`, not `int`",
    ),
    Mistake("split_starts", "cut = round(", "cut = math.ceil(", says="take `round` of"),
    Mistake(
        "split_starts", "(1 - val_fraction)", "val_fraction", says="validation's share"
    ),
    Mistake(
        "split_starts", "return train, val", "return val, train", says="training comes"
    ),
    Mistake(
        "split_starts",
        None,
        "def split_starts(num_tokens, context_len, stride, fraction):\n"
        "    cut = round(num_tokens * (1 - fraction))\n"
        "    train = range(0, cut - context_len, stride)\n"
        "    return train, range(cut, num_tokens - context_len, stride)\n",
        says="stops with TypeError",
    ),
    Mistake(
        "split_starts",
        "    return train, val",
        "    return train[::2], train[1::2]",
        says="first cut the tokens in two",
    ),
]

VARIANTS = [
    Variant("stop_early", None, COUNTING),
    Variant(
        "stop_early",
        None,
        "def stop_early(val_losses, patience):\n"
        "    for end in range(1, len(val_losses) + 1):\n"
        "        kept = int(np.argmin(val_losses[:end]))\n"
        "        if end - 1 - kept >= patience:\n"
        "            break\n"
        "    return torch.tensor([kept, end - 1])\n",
    ),
    Variant(
        "paired_difference",
        None,
        "def paired_difference(losses, other_losses):\n"
        "    differences = torch.tensor(losses) - torch.tensor(other_losses)\n"
        "    return differences.mean(), differences.std() / len(losses) ** 0.5\n",
    ),
    Variant(
        "paired_difference",
        "math.sqrt(variance / n)",
        "np.std(differences) / np.sqrt(n - 1)",
    ),
    Variant(
        "adamw_step",
        None,
        "def adamw_step(adam, decay):\n"
        "    for group in adam.param_groups:\n"
        "        for p in group['params']:\n"
        "            if p.grad is None:\n"
        "                continue\n"
        "            p.data = p.data - group['lr'] * decay * p.data\n"
        "    adam.step()\n",
    ),
    Variant(
        "adamw_step",
        None,
        "def adamw_step(adam, decay):\n"
        "    for group in adam.param_groups:\n"
        "        group['weight_decay'] = decay\n"
        "        group['decoupled_weight_decay'] = True\n"
        "    adam.step()\n",
    ),
    Variant(
        "Dropout",
        "torch.rand_like(x) >= self.p",
        "torch.bernoulli(torch.full_like(x, 1 - self.p))",
    ),
    Variant(
        "Dropout",
        "return x * is_kept / (1 - self.p)",
        "return torch.where(is_kept, x / (1 - self.p), torch.zeros_like(x))",
    ),
    Variant(
        "Dropout",
        "torch.rand_like(x) >= self.p",
        "torch.tensor([torch.rand(()) >= self.p for _ in range(x.numel())])\n"
        "        is_kept = is_kept.view(x.shape)",
    ),
    Variant(
        "power_law",
        "return np.exp(intercept), -slope",
        "slope, intercept = np.polyfit(np.log10(amounts), np.log10(left), 1)\n"
        "    return [10**intercept, -slope]",
    ),
    Variant(
        "power_law",
        None,
        "def power_law(amounts, losses, floor):\n"
        "    x = torch.tensor(amounts, dtype=torch.float32).log()\n"
        "    y = (torch.tensor(losses) - floor).log()\n"
        "    rows = torch.stack([torch.ones_like(x), -x], dim=1)\n"
        "    high, exponent = torch.linalg.lstsq(rows, y[:, None]).solution[:, 0]\n"
        "    return high.exp(), exponent\n",
    ),
    Variant(
        "RandomWindows",
        GETITEM,
        "        share = torch.rand((), generator=self.generator)\n"
        "        start = int(share * num_places)\n",
    ),
    Variant(
        "RandomWindows",
        "return window[:-1], window[1:]",
        "return window[: self.context_len].clone(), window[1:].clone()",
    ),
    Variant(
        "split_starts",
        "    return train, val",
        "    return range(0, cut - context_len, stride), torch.tensor(val)",
    ),
    Variant(
        "split_starts",
        "    return train, val",
        "    starts = np.arange(0, cut, stride)\n"
        "    return starts[starts + context_len < cut], np.array(val)",
    ),
]
