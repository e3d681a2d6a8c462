"""Wrong and other right answers to the exercises of lesson 04."""

from mistakes import Mistake, Variant

EPOCHS = "def epochs_seen(steps, num_windows, batch_size):\n"
ENTROPY = "def entropy(probas):\n"
LANDMARKS = "def landmarks(train_losses, val_losses, floor):\n"
RELATIVE = "def relative_entropy(probas, logits):\n"
RUN = "def longest_run(sample, windows):\n"
FLOOR = "def memory_floor(windows):\n"
LOSSES = "def window_losses(model, inputs, targets):\n"

# The long way to the memoriser's floor; {} is what the model remembers.
LONG_WAY = """\
    total, count = 0.0, 0
    rows = windows.tolist()
    for row in rows:
        for t in range(1, len(row)):
            fit = [r for r in rows if {}]
            total -= math.log(sum(r[t] == row[t] for r in fit) / len(fit))
            count += 1
    return total / count
"""

MISTAKES = [
    Mistake("epochs_seen", "step + 1,", "step,", says="not none"),
    Mistake(
        "epochs_seen",
        None,
        f"{EPOCHS}    per_epoch = math.ceil(num_windows / batch_size)\n"
        "    return [(step + 1) / per_epoch for step in steps]\n",
        says="equal part of an epoch: a full batch",
    ),
    Mistake(
        "epochs_seen",
        None,
        f"{EPOCHS}    per_epoch = math.ceil(num_windows / batch_size)\n"
        "    return [step / per_epoch for step in steps]\n",
        says="and step 0 as none",
    ),
    Mistake(
        "epochs_seen",
        None,
        f"{EPOCHS}    return [(s + 1) * batch_size / num_windows for s in steps]\n",
        says="counts as a full one: an epoch is over",
    ),
    Mistake(
        "epochs_seen",
        None,
        f"{EPOCHS}    return [s * batch_size / num_windows for s in steps]\n",
        says="counts as a full one, and step 0",
    ),
    Mistake(
        "epochs_seen",
        None,
        f"{EPOCHS}    last = (steps[-1] + 1) / math.ceil(num_windows / batch_size)\n"
        "    return torch.linspace(0, last, len(steps)).tolist()\n",
        says="spread evenly over the axis: each",
    ),
    Mistake(
        "epochs_seen",
        "whole + rest * batch_size / num_windows",
        "whole",
        says="only whole epochs",
    ),
    Mistake(
        "epochs_seen",
        "math.ceil(num_windows / batch_size)",
        "num_windows // batch_size",
        says="an epoch ends before the short last batch",
    ),
    Mistake(
        "epochs_seen",
        "math.ceil(num_windows / batch_size)",
        "num_windows // batch_size + 1",
        says="no batch is empty",
    ),
    Mistake(
        "epochs_seen",
        "whole + rest * batch_size / num_windows",
        "whole * num_windows + rest * batch_size",
        says="these are windows, not epochs",
    ),
    Mistake("epochs_seen", "return epochs", "pass", says="is a `return` missing?"),
    Mistake(
        "entropy",
        "torch.xlogy(probas, probas).sum",
        "(probas * probas.log()).sum",
        says="the entropy is nan",
    ),
    Mistake("entropy", "-torch", "torch", says="the sign is missing"),
    Mistake("entropy", "sum(dim=-1)", "sum()", says="for all rows together"),
    Mistake("entropy", "sum(dim=-1)", "sum(dim=0)", says="along the wrong axis"),
    Mistake("entropy", "sum(dim=-1)", "sum(dim=1)", says="along the wrong axis"),
    Mistake("entropy", "sum(dim=-1)", "mean(dim=-1)", says="is the weight already"),
    Mistake("entropy", ".sum(dim=-1)", "", says="one number comes back for each token"),
    Mistake(
        "entropy",
        None,
        f"{ENTROPY}    logs = probas.log2().where(probas > 0, 0)\n"
        "    return -(probas * logs).sum(-1)\n",
        says="these are bits",
    ),
    Mistake(
        "entropy",
        None,
        f"{ENTROPY}    probas[probas == 0] = 1\n"
        "    return -(probas * probas.log()).sum(-1)\n",
        says="`probas` itself is changed",
    ),
    Mistake(
        "entropy",
        None,
        f"{ENTROPY}    probas = probas.softmax(dim=-1)\n"
        "    return -(probas * probas.log()).sum(-1)\n",
        says="a softmax is taken",
    ),
    Mistake(
        "entropy",
        None,
        f"{ENTROPY}    return -probas.log().sum(-1)\n",
        says="not weighted",
    ),
    Mistake(
        "entropy",
        "return -torch.xlogy(probas, probas).sum(dim=-1)",
        "return (-torch.xlogy(probas, probas).sum(dim=-1)).exp()",
        says="that is a perplexity",
    ),
    Mistake(
        "entropy",
        "torch.xlogy(probas, probas)",
        "(probas * probas.clamp(min=1e-6).log())",
        says="small probabilities are cut off",
    ),
    Mistake(
        "entropy",
        "torch.xlogy(probas, probas)",
        "(probas * (probas + 1e-9).log())",
        says="small probabilities are cut off",
    ),
    Mistake(
        "entropy",
        "sum(dim=-1)",
        "sum(dim=-1).numpy()",
        says="a tensor should come back, not ndarray",
    ),
    Mistake(
        "landmarks",
        None,
        f"{LANDMARKS}    turn = val_losses.index(min(val_losses))\n"
        "    low = [loss < floor for loss in train_losses]\n"
        "    low = [a and b for a, b in zip(low, low[1:] + [True])]\n"
        "    return turn, low.index(True)\n",
        says="this loss and the next",
    ),
    Mistake(
        "landmarks",
        "val_losses.index(min(val_losses))",
        "train_losses.index(min(train_losses))",
        says="the lowest *training* loss",
    ),
    Mistake(
        "landmarks",
        "val_losses.index(min(val_losses))",
        "max(i for i, x in enumerate(val_losses) if x == min(val_losses))",
        says="the last of equal lowest losses",
    ),
    Mistake(
        "landmarks",
        "max(val_losses[turn:]) == val_losses[turn]",
        "False",
        says="has not turned: `turn` should be None",
    ),
    Mistake(
        "landmarks",
        "max(val_losses[turn:]) == val_losses[turn]",
        "turn == len(val_losses) - 1",
        says="no loss after the lowest is higher",
    ),
    Mistake(
        "landmarks",
        "max(val_losses[turn:]) == val_losses[turn]",
        "val_losses[turn + 1 : turn + 2] in ([], [val_losses[turn]])",
        says="need not rise at once",
    ),
    Mistake(
        "landmarks",
        "max(val_losses[turn:]) == val_losses[turn]",
        "val_losses[-1] == val_losses[turn]",
        says="wherever the last one lies",
    ),
    Mistake(
        "landmarks",
        "turn = val_losses.index(min(val_losses))",
        "turn = 0\n"
        "    while val_losses[turn + 1 : turn + 2] and (\n"
        "        val_losses[turn + 1] <= val_losses[turn]\n"
        "    ):\n"
        "        turn += 1",
        says="the first place where the loss rises",
    ),
    Mistake(
        "landmarks",
        None,
        f"{LANDMARKS}    turn = val_losses.index(min(val_losses))\n"
        "    fallen = [x < floor for x in train_losses].index(True)\n"
        "    return turn, fallen\n",
        says="from there on all have to be below",
    ),
    Mistake(
        "landmarks",
        "train_losses[fallen - 1] < floor",
        "train_losses[fallen - 1] <= floor",
        says="equal to the floor is not below",
    ),
    Mistake(
        "landmarks",
        "train_losses[fallen - 1] < floor",
        "val_losses[fallen - 1] < floor",
        says="looks at the validation losses",
    ),
    Mistake("landmarks", "turn, fallen\n", "fallen, turn\n", says="changed places"),
    Mistake(
        "landmarks",
        "fallen == len(train_losses)",
        "False",
        says="points behind the end of the list",
    ),
    Mistake(
        "landmarks",
        "return turn, fallen",
        "return turn or None, fallen",
        says="`turn` may be 0",
    ),
    Mistake(
        "landmarks",
        "return turn, fallen",
        "return turn, fallen or None",
        says="`fallen` may be 0",
    ),
    Mistake(
        "relative_entropy",
        "torch.xlogy(probas, probas) - probas * log_q",
        "probas * (probas.log() - log_q)",
        says="the relative entropy is nan",
    ),
    Mistake(
        "relative_entropy",
        "torch.xlogy(probas, probas) - probas * log_q",
        "-probas * log_q",
        says="this is the cross entropy",
    ),
    Mistake(
        "relative_entropy",
        "torch.xlogy(probas, probas) - probas * log_q",
        "log_q.exp() * (log_q - probas.log())",
        says="the direction is wrong: the weights",
    ),
    Mistake(
        "relative_entropy",
        "torch.xlogy(probas, probas) - probas * log_q",
        "(log_q.exp() * (log_q - probas.log())).where(probas > 0, 0)",
        says="the direction is wrong, and terms are left out",
    ),
    Mistake(
        "relative_entropy",
        "torch.log_softmax(logits, dim=-1)",
        "torch.softmax(logits, dim=-1).log()",
        says="makes the result infinite",
    ),
    Mistake(
        "relative_entropy",
        "torch.log_softmax(logits, dim=-1)",
        "(torch.softmax(logits, dim=-1) + 1e-12).log()",
        says="take `log_softmax`",
    ),
    Mistake(
        "relative_entropy",
        "torch.log_softmax(logits, dim=-1)",
        "torch.softmax(logits, dim=-1).log().nan_to_num()",
        says="take `log_softmax`",
    ),
    Mistake(
        "relative_entropy",
        "torch.log_softmax(logits, dim=-1)",
        "logits",
        says="logits are taken for logarithms",
    ),
    Mistake(
        "relative_entropy",
        "torch.log_softmax(logits, dim=-1)",
        "torch.log_softmax(logits, dim=1)",
        says="the softmax is taken over the wrong axis",
    ),
    Mistake(
        "relative_entropy",
        "torch.log_softmax(logits, dim=-1)",
        "torch.log_softmax(logits, dim=0)",
        says="the softmax is taken over the first axis",
    ),
    Mistake(
        "relative_entropy",
        None,
        f"{RELATIVE}    log_q = torch.log_softmax(logits, dim=-1)\n"
        "    return F.kl_div(log_q, probas, reduction='batchmean')\n",
        says="for all rows together",
    ),
    Mistake("relative_entropy", "sum(dim=-1)", "mean(dim=-1)", says="so sum"),
    Mistake(
        "relative_entropy",
        "(torch.xlogy(probas, probas) - probas * log_q)",
        "(probas * log_q - torch.xlogy(probas, probas))",
        says="p stands above q",
    ),
    Mistake(
        "longest_run",
        None,
        f"{RUN}    sample, stream = sample.tolist(), windows.flatten().tolist()\n"
        "    longest = 0\n"
        "    for i in range(len(sample)):\n"
        "        for j in range(len(stream)):\n"
        "            k = 0\n"
        "            while sample[i : i + k + 1] == stream[j : j + k + 1]:\n"
        "                k += 1\n"
        "                if i + k >= len(sample) or j + k >= len(stream):\n"
        "                    break\n"
        "            longest = max(longest, k)\n"
        "    return longest\n",
        says="from the end of one window into the next",
    ),
    Mistake(
        "longest_run",
        "else 0 for j",
        "else lengths[j] for j",
        says="a run has no gaps",
    ),
    Mistake(
        "longest_run",
        None,
        f"{RUN}    sample, longest = sample.tolist(), 0\n"
        "    for row in windows.tolist():\n"
        "        for j in range(len(row)):\n"
        "            k = 0\n"
        "            while k < len(sample) and sample[: k + 1] == row[j : j + k + 1]:\n"
        "                k += 1\n"
        "            longest = max(longest, k)\n"
        "    return longest\n",
        says="only where the sample begins",
    ),
    Mistake(
        "longest_run",
        None,
        f"{RUN}    seen = set(windows.flatten().tolist())\n"
        "    return sum(token in seen for token in sample.tolist())\n",
        says="into the next",
    ),
    Mistake(
        "longest_run",
        None,
        f"{RUN}    longest = 0\n"
        "    for window in windows.tolist():\n"
        "        length = 0\n"
        "        for a, b in zip(sample.tolist(), window):\n"
        "            length = length + 1 if a == b else 0\n"
        "            longest = max(longest, length)\n"
        "    return longest\n",
        says="it may stand anywhere",
    ),
    Mistake(
        "longest_run",
        None,
        f"{RUN}    text = sample.tolist()\n"
        "    rows = [' '.join(map(str, row)) for row in windows.tolist()]\n"
        "    longest = 0\n"
        "    for i in range(len(text)):\n"
        "        for j in range(i + 1, len(text) + 1):\n"
        "            piece = ' '.join(map(str, text[i:j]))\n"
        "            if any(piece in row for row in rows):\n"
        "                longest = max(longest, j - i)\n"
        "    return longest\n",
        says="compared as text",
    ),
    Mistake(
        "longest_run",
        "for token in sample:",
        "for token in sample[:-1]:",
        says="a token at an end of the run is left out",
    ),
    Mistake(
        "longest_run",
        "for j in range(len(window))",
        "for j in range(len(window) - 1)",
        says="the last token of the sample or of a window is left out",
    ),
    Mistake(
        "longest_run",
        "    longest = 0\n",
        "    longest = 1\n",
        says="without any token in common",
    ),
    Mistake(
        "longest_run",
        None,
        f"{RUN}    longest = 0\n"
        "    sample = sample.tolist()\n"
        "    for window in windows.tolist():\n"
        "        for start in range(len(sample)):\n"
        "            k = 0\n"
        "            for token in window:\n"
        "                if start + k < len(sample) and token == sample[start + k]:\n"
        "                    k += 1\n"
        "                else:\n"
        "                    k = int(token == sample[start])\n"
        "                longest = max(longest, k)\n"
        "    return longest\n",
        says="goes on too far ahead",
    ),
    Mistake(
        "longest_run",
        None,
        f"{RUN}    longest = 0\n"
        "    for window in windows.tolist():\n"
        "        length = 0\n"
        "        for token in sample.tolist():\n"
        "            length = length + 1 if token in window else 0\n"
        "            longest = max(longest, length)\n"
        "    return longest\n",
        says="one by one or in pairs",
    ),
    Mistake(
        "longest_run",
        None,
        f"{RUN}    sample, longest = sample.tolist(), 0\n"
        "    for window in windows.tolist():\n"
        "        pairs, length = set(zip(window, window[1:])), 0\n"
        "        for i, token in enumerate(sample):\n"
        "            chained = i > 0 and (sample[i - 1], token) in pairs\n"
        "            length = length + 1 if chained else int(token in window)\n"
        "            longest = max(longest, length)\n"
        "    return longest\n",
        says="one by one or in pairs",
    ),
    Mistake(
        "longest_run",
        None,
        f"{RUN}    sample, longest = sample.tolist(), 0\n"
        "    for row in windows.tolist():\n"
        "        for i, token in enumerate(sample):\n"
        "            j, k = row.index(token) if token in row else len(row), 0\n"
        "            while i + k < len(sample) and row[j + k : j + k + 1] == [\n"
        "                sample[i + k]\n"
        "            ]:\n"
        "                k += 1\n"
        "            longest = max(longest, k)\n"
        "    return longest\n",
        says="only the first place where a token stands",
    ),
    Mistake(
        "memory_floor",
        None,
        f"{FLOOR}    return math.log(len(windows)) / (windows.shape[1] - 1)\n",
        says="this is ln W for each window",
    ),
    Mistake(
        "memory_floor",
        None,
        f"{FLOOR}    distinct = len(windows.unique(dim=0))\n"
        "    return math.log(distinct) / (windows.shape[1] - 1)\n",
        says="the number of different windows",
    ),
    Mistake(
        "memory_floor",
        "(len(rows[0]) - 1)",
        "len(rows[0])",
        says="so there are L - 1 targets",
    ),
    Mistake(
        "memory_floor",
        "nats / len(rows) / (len(rows[0]) - 1)",
        "nats / len(rows)",
        says="nats per window",
    ),
    Mistake(
        "memory_floor",
        "firsts[row[0]] / ",
        "len(rows) / ",
        says="the first token is charged for",
    ),
    Mistake(
        "memory_floor",
        " / copies[row]",
        "",
        says="equal windows are told apart",
    ),
    Mistake(
        "memory_floor",
        "rows = [tuple(row) for row in windows.tolist()]",
        "rows = list({tuple(row) for row in windows.tolist()})",
        says="equal windows are counted once",
    ),
    Mistake("memory_floor", "math.log(", "math.log2(", says="these are bits"),
    Mistake(
        "memory_floor",
        None,
        FLOOR + LONG_WAY.format("r[t - 1] == row[t - 1]"),
        says="only the token before and its place",
    ),
    Mistake(
        "memory_floor",
        None,
        FLOOR + LONG_WAY.format("True"),
        says="what came before is not looked at",
    ),
    Mistake(
        "memory_floor",
        None,
        FLOOR
        + LONG_WAY.format("r[:t] == row[:t]").replace("/ len(fit)", "/ len(rows)"),
        says="the shares are those among all windows",
    ),
    Mistake(
        "window_losses",
        ', reduction="none")\n    return losses.mean(dim=1)',
        ")\n    return losses",
        says="for all windows together",
    ),
    Mistake("window_losses", "mean(dim=1)", "mean(dim=0)", says="for each place"),
    Mistake("window_losses", "mean(dim=1)", "sum(dim=1)", says="are summed up"),
    Mistake("window_losses", "losses.mean(dim=1)", "losses", says="for each target"),
    Mistake(
        "window_losses",
        "logits.transpose(1, 2)",
        "logits.view(len(logits), -1, targets.shape[1])",
        says="two axes should change places",
    ),
    Mistake(
        "window_losses",
        "with evaluation_mode(model):",
        "with torch.no_grad():",
        says="in train mode while you look",
    ),
    Mistake(
        "window_losses",
        "with evaluation_mode(model):",
        "model.eval()\n    with torch.no_grad():",
        says="stays in eval mode",
    ),
    Mistake(
        "window_losses",
        "        logits = model(inputs)",
        "        pass\n    model.eval()\n    logits = model(inputs)\n    model.train()",
        says="gradients are tracked",
    ),
    Mistake(
        "window_losses",
        "        logits = model(inputs)",
        "        logits = model(inputs)\n    model.train()",
        says="comes back in train mode",
    ),
    Mistake(
        "window_losses",
        "    with evaluation_mode(model):",
        "    torch.set_grad_enabled(False)\n    with evaluation_mode(model):",
        says="gradients stay switched off",
    ),
    Mistake(
        "window_losses",
        "    with evaluation_mode(model):",
        "    model.requires_grad_(False)\n    with evaluation_mode(model):",
        says="the parameters stay without gradients",
    ),
    Mistake(
        "window_losses",
        "losses.mean(dim=1)",
        "losses.mean(dim=1).tolist()",
        says="a tensor should come back, not list",
    ),
]

VARIANTS = [
    Variant(
        "epochs_seen",
        None,
        f"{EPOCHS}    read, at_step = 0, []\n"
        "    while len(at_step) <= max(steps):\n"
        "        left = num_windows - read % num_windows\n"
        "        read += min(batch_size, left)\n"
        "        at_step.append(read / num_windows)\n"
        "    return [at_step[step] for step in steps]\n",
    ),
    Variant(
        "epochs_seen",
        "return epochs",
        "return torch.tensor(epochs)",
    ),
    Variant(
        "entropy", None, f"{ENTROPY}    return torch.special.entr(probas).sum(-1)\n"
    ),
    Variant(
        "entropy",
        None,
        f"{ENTROPY}    logs = probas.clamp(min=1e-12).log()\n"
        "    return -(probas * logs).sum(dim=-1)\n",
    ),
    Variant(
        "entropy",
        None,
        f"{ENTROPY}    return torch.distributions.Categorical(probas).entropy()\n",
    ),
    Variant(
        "entropy",
        None,
        f"{ENTROPY}    return -(probas * probas.log()).nansum(dim=-1)\n",
    ),
    Variant(
        "entropy",
        None,
        f"{ENTROPY}    some = probas.float()\n"
        "    logs = torch.where(some > 0, some, 1).log()\n"
        "    return -(some * logs).sum(dim=-1)\n",
    ),
    Variant(
        "landmarks",
        None,
        f"{LANDMARKS}    turn = int(torch.tensor(val_losses).argmin())\n"
        "    later = val_losses[turn + 1 :]\n"
        "    turn = turn if any(x > val_losses[turn] for x in later) else None\n"
        "    fallen = None\n"
        "    for i, loss in enumerate(train_losses):\n"
        "        if loss >= floor:\n"
        "            fallen = None\n"
        "        elif fallen is None:\n"
        "            fallen = i\n"
        "    return [turn, fallen]\n",
    ),
    Variant(
        "relative_entropy",
        None,
        f"{RELATIVE}    log_q = torch.log_softmax(logits.double(), dim=-1)\n"
        "    return F.kl_div(log_q, probas, reduction='none').sum(dim=-1)\n",
    ),
    Variant(
        "relative_entropy",
        None,
        f"{RELATIVE}    log_q = logits - logits.logsumexp(-1, keepdim=True)\n"
        "    return -(probas * log_q).sum(-1) - entropy(probas)\n",
    ),
    Variant(
        "longest_run",
        None,
        f"{RUN}    text, rows = sample.tolist(), windows.tolist()\n"
        "    for length in range(len(text), 0, -1):\n"
        "        starts = range(len(text) - length + 1)\n"
        "        pieces = [text[i : i + length] for i in starts]\n"
        "        for row in rows:\n"
        "            for j in range(len(row) - length + 1):\n"
        "                if row[j : j + length] in pieces:\n"
        "                    return length\n"
        "    return 0\n",
    ),
    Variant(
        "longest_run",
        None,
        f"{RUN}    longest = torch.tensor(0)\n"
        "    for shift in range(1 - len(sample), windows.shape[1]):\n"
        "        a, b = max(0, shift), min(windows.shape[1], len(sample) + shift)\n"
        "        run = torch.zeros(len(windows), dtype=torch.long)\n"
        "        for j in range(a, b):\n"
        "            run = (run + 1) * (windows[:, j] == sample[j - shift])\n"
        "            longest = torch.maximum(longest, run.max())\n"
        "    return longest\n",
    ),
    Variant("memory_floor", None, FLOOR + LONG_WAY.format("r[:t] == row[:t]")),
    Variant(
        "memory_floor",
        None,
        f"{FLOOR}    W, L = windows.shape\n"
        "    same = (windows[:, None] == windows[None]).cumprod(dim=-1)\n"
        "    fit = same.sum(dim=1).double()  # (W, L)\n"
        "    return -(fit[:, 1:] / fit[:, :-1]).log().mean()\n",
    ),
    Variant(
        "window_losses",
        None,
        f"{LOSSES}    with evaluation_mode(model):\n"
        "        pairs = zip(inputs.split(1), targets.split(1))\n"
        "        return torch.stack([loss_on_one(model, *p) for p in pairs])\n"
        "\n\n"
        "def loss_on_one(model, x, y):\n"
        "    return F.cross_entropy(model(x)[0], y[0])\n",
    ),
    Variant(
        "window_losses",
        'F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")',
        "-logits.log_softmax(-1).gather(-1, targets[..., None]).squeeze(-1)",
    ),
]
