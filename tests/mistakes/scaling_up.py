"""Wrong and other right answers to the exercises of lesson 07."""

from mistakes import Mistake, Variant

BACKWARD = (
    "        loss.backward()  # here, so that this piece's activations are freed\n"
)
REDUCE_GRADIENTS = (
    "    for parameter in model.parameters():\n        all_reduce(parameter.grad)\n"
)
MEAN_LOSS = (
    "    mean = loss.detach()  # a plain tensor, without the graph\n"
    "    all_reduce(mean)\n"
)

MISTAKES = [
    Mistake("largest_run", "* 24 * 60 * 60", "* 60 * 60", says="counted as hours"),
    Mistake("largest_run", "* 24 * 60 * 60", "", says="counted as seconds"),
    Mistake(
        "largest_run",
        "math.sqrt(operations / (6 * 20))",
        "operations / (6 * 20)",
        says="the square root is missing",
    ),
    Mistake("largest_run", "(6 * 20)", "20", says="the 6 is missing"),
    Mistake("largest_run", "(6 * 20)", "(2 * 20)", says="only the forward pass"),
    Mistake("largest_run", "(6 * 20)", "6", says="the tokens are not paid for"),
    Mistake(
        "largest_run",
        "return parameters, 20 * parameters",
        "return 20 * parameters, parameters",
        says="20 parameters for each token",
    ),
    Mistake(
        "largest_run",
        "return parameters, 20 * parameters",
        "return parameters, parameters / 20",
        says="there are 0.05 tokens for each parameter",
    ),
    Mistake(
        "largest_run",
        "return parameters, 20 * parameters",
        "return parameters",
        says="a pair should come back",
    ),
    Mistake(
        "flops_per_token",
        "passes = 4 if recompute else 3",
        "passes = 3",
        says="`recompute` changes nothing",
    ),
    Mistake(
        "flops_per_token",
        "* block + 3 * head",
        "* block + passes * head",
        says="the output head is recomputed too",
    ),
    Mistake(
        "flops_per_token",
        "4 if recompute else 3",
        "6 if recompute else 3",
        says="the whole step of the blocks is made twice",
    ),
    Mistake(
        "flops_per_token",
        "12 * width**2 + 2 * length * width",
        "12 * width**2",
        says="attention is forgotten",
    ),
    Mistake(
        "flops_per_token",
        "2 * length * width",
        "length * width",
        says="attention is counted half",
    ),
    Mistake(
        "flops_per_token",
        "2 * length * width",
        "2 * config.context_len * width",
        says="for the whole context",
    ),
    Mistake(
        "flops_per_token",
        "2 * length * width",
        "2 * length**2 * width",
        says="for all tokens of the window",
    ),
    Mistake(
        "flops_per_token",
        "head = width * config.vocabulary_size",
        "head = 2 * width * config.vocabulary_size",
        says="the token embedding is counted",
    ),
    Mistake(
        "flops_per_token",
        "head = width * config.vocabulary_size",
        "head = 0",
        says="the output head is forgotten",
    ),
    Mistake(
        "flops_per_token",
        "return 2 * (",
        "return (",
        says="are two operations, not one",
    ),
    Mistake(
        "flops_per_token",
        "passes = 4 if recompute else 3\n    "
        "return 2 * (passes * config.num_layers * block + 3 * head)",
        "passes = 2 if recompute else 1\n    "
        "return 2 * (passes * config.num_layers * block + head)",
        says="only the forward pass is counted",
    ),
    Mistake(
        "flops_per_token",
        "config.num_layers * block",
        "block",
        says="only one block is counted",
    ),
    Mistake(
        "flops_per_token",
        "12 * width**2",
        "8 * width**2",
        says="the feed-forward layers are incomplete",
    ),
    Mistake(
        "bytes_per_process",
        "list(model.parameters())",
        "list(model.state_dict(keep_vars=True).values())",
        says="all that stands in the state dict is counted",
    ),
    Mistake(
        "bytes_per_process",
        "list(model.parameters())",
        "[p for _, p in model.named_parameters(remove_duplicate=False)]",
        says="a shared parameter is counted twice",
    ),
    Mistake(
        "bytes_per_process",
        "[p for p in parameters if p.requires_grad]",
        "parameters",
        says="frozen parameters are counted",
    ),
    Mistake(
        "bytes_per_process",
        "parameters = list(model.parameters())",
        "parameters = [p for p in model.parameters() if p.requires_grad]",
        says="frozen parameters are left out",
    ),
    Mistake(
        "bytes_per_process",
        '"moments": 2 * gradients',
        '"moments": gradients',
        says="two moments for each number",
    ),
    Mistake(
        "bytes_per_process",
        "gradients = sum(p.numel() * p.element_size() for p in trained)",
        "gradients = sum(p.numel() * 4 for p in trained)",
        says="every number is counted with 4 bytes",
    ),
    Mistake(
        "bytes_per_process",
        "weights = sum(p.numel() * p.element_size() for p in parameters)",
        "weights = sum(p.numel() for p in parameters)",
        says="numbers are counted, not bytes",
    ),
    Mistake(
        "bytes_per_process",
        "kind: size / num_processes if kind in divided else size",
        "kind: size / num_processes",
        says="`divided` is not looked at",
    ),
    Mistake(
        "bytes_per_process",
        "kind: size / num_processes if kind in divided else size",
        "kind: size",
        says="`divided` is not looked at",
    ),
    Mistake(
        "learning_rate",
        "peak * (step + 1) / warmup_steps",
        "peak * step / warmup_steps",
        says="at a rate of zero and the last below the peak",
    ),
    Mistake(
        "learning_rate",
        "peak * (step + 1) / warmup_steps",
        "peak * step / (warmup_steps - 1)",
        says="the first step is made at a rate of zero: the ten steps",
    ),
    Mistake(
        "learning_rate",
        "peak * (step + 1) / warmup_steps",
        "peak * (step + 1) / (warmup_steps + 1)",
        says="the warm-up is one step too long",
    ),
    Mistake(
        "learning_rate",
        "if step < warmup_steps:",
        "if False:",
        says="the cosine is at work during the warm-up",
    ),
    Mistake(
        "learning_rate",
        "(step - warmup_steps) / (total_steps - warmup_steps)",
        "step / total_steps",
        says="the cosine is counted from step 0",
    ),
    Mistake(
        "learning_rate",
        "(step - warmup_steps) / (total_steps - warmup_steps)",
        "(step - warmup_steps) / total_steps",
        says="the cosine is too slow",
    ),
    Mistake(
        "learning_rate",
        "(step - warmup_steps) / (total_steps - warmup_steps)",
        "(step - warmup_steps) / (total_steps - 1 - warmup_steps)",
        says="arrives one step early",
    ),
    Mistake(
        "learning_rate",
        "min(1.0, (step - warmup_steps) / (total_steps - warmup_steps))",
        "(step - warmup_steps) / (total_steps - warmup_steps)",
        says="the rate rises again after the end",
    ),
    Mistake(
        "learning_rate",
        "math.cos(math.pi * done)",
        "math.cos(2 * math.pi * done)",
        says="through a whole period",
    ),
    Mistake(
        "learning_rate",
        "(1 + math.cos(math.pi * done)) / 2",
        "1 - done",
        says="in a straight line",
    ),
    Mistake(
        "learning_rate",
        "floor + (peak - floor) * falling",
        "floor + peak * falling",
        says="the floor is added on top of the peak",
    ),
    Mistake(
        "learning_rate",
        "floor + (peak - floor) * falling",
        "max(floor, peak * falling)",
        says="the rate is cut off at the floor",
    ),
    Mistake(
        "learning_rate",
        "if step < warmup_steps:",
        "if step / warmup_steps < 1:",
        says="stops with ZeroDivisionError",
    ),
    Mistake(
        "learning_rate",
        "step < warmup_steps",
        "step <= warmup_steps",
        says="one step too long and goes above the peak",
    ),
    Mistake(
        "accumulated_step",
        "targets in micro_batches:",
        "targets in micro_batches[:2]:",
        says="the step is not that of the whole batch",
    ),
    Mistake(
        "accumulated_step",
        "return mean",
        "return mean / len(micro_batches)",
        says="divided by the pieces once too often",
    ),
    Mistake(
        "accumulated_step",
        "    for inputs, targets in micro_batches:\n",
        "    for inputs, targets in micro_batches:\n        optimizer.zero_grad()\n",
        says="only the last piece's share is left: `zero_grad` inside",
    ),
    Mistake(
        "accumulated_step",
        "optimizer.zero_grad()",
        "pass",
        says="gradients are never zeroed",
    ),
    Mistake(
        "accumulated_step",
        "    optimizer.step()",
        "        optimizer.step()",
        says="2 steps are made where one is asked for",
    ),
    Mistake(
        "accumulated_step",
        "    optimizer.step()",
        "    pass",
        says="no step is made",
    ),
    Mistake(
        "accumulated_step",
        ', reduction="sum")\n        loss = loss / num_counted',
        ")",
        says="are added up and not divided",
    ),
    Mistake(
        "accumulated_step",
        ', reduction="sum")\n        loss = loss / num_counted',
        ")\n        loss = loss / len(micro_batches)",
        says="the mean is over pieces, not tokens",
    ),
    Mistake(
        "accumulated_step",
        "(targets != -100).sum().item()",
        "targets.numel()",
        says="divided by all targets",
    ),
    Mistake(
        "accumulated_step",
        ', reduction="sum")\n        loss = loss / num_counted',
        ")\n        loss = loss * (targets != -100).sum() / num_counted",
        says="the loss is nan",
    ),
    Mistake(
        "accumulated_step",
        "        loss = loss / num_counted\n",
        "",
        says="the sum over tokens is never divided",
    ),
    Mistake(
        "accumulated_step",
        BACKWARD + "        mean += loss.item()\n",
        "        mean = mean + loss\n    mean.backward()\n    mean = mean.item()\n",
        says="the second piece goes forward before the first",
    ),
    Mistake(
        "accumulated_step",
        "    for inputs, targets in micro_batches:\n",
        "    joined = tuple(torch.cat(parts) for parts in zip(*micro_batches))\n"
        "    for inputs, targets in [joined]:\n",
        says="the pieces are joined to one batch",
    ),
    Mistake(
        "accumulated_step",
        "mean += loss.item()",
        "mean = loss.item()",
        says="the loss is wrong: only the last piece",
    ),
    Mistake(
        "accumulated_step",
        "mean += loss.item()",
        "mean += loss.detach()",
        says="should come back as a float",
    ),
    Mistake(
        "parallel_step",
        "own = slice(rank, None, num_processes)",
        "own = slice(None)",
        says="every process reads the whole batch",
    ),
    Mistake(
        "parallel_step",
        "own = slice(rank, None, num_processes)",
        "size = len(inputs) // num_processes\n"
        "    own = slice(rank * size, (rank + 1) * size)",
        says="is read by no process",
    ),
    Mistake(
        "parallel_step",
        "own = slice(rank, None, num_processes)",
        "size = -(-len(inputs) // num_processes)\n"
        "    own = slice(rank * size, (rank + 1) * size)\n"
        "    if rank == num_processes - 1:\n"
        "        own = slice(len(inputs) - size, None)",
        says="is read more than once",
    ),
    Mistake(
        "parallel_step",
        "own = slice(rank, None, num_processes)",
        "size = len(inputs) // num_processes\n"
        "    own = slice(rank * size, (rank + 1) * size)\n"
        "    if rank == num_processes - 1:\n"
        "        own = slice(rank * size, None)",
        says="the numbers may differ by one",
    ),
    Mistake(
        "parallel_step",
        REDUCE_GRADIENTS,
        "",
        says="after the step the models differ",
    ),
    Mistake(
        "parallel_step",
        "all_reduce(parameter.grad)",
        "all_reduce(parameter.grad.clone())",
        says="after the step the models differ",
    ),
    Mistake(
        "parallel_step",
        "all_reduce(parameter.grad)",
        "parameter.grad = all_reduce(parameter.grad)",
        says="no weight has moved",
    ),
    Mistake(
        "parallel_step",
        REDUCE_GRADIENTS + MEAN_LOSS,
        "    mean = loss.detach()\n",
        says="`all_reduce` is never called",
    ),
    Mistake(
        "parallel_step",
        "    optimizer.zero_grad()\n",
        "",
        says="gradients are never zeroed",
    ),
    Mistake(
        "parallel_step",
        ', reduction="sum"\n    )\n    loss = loss / num_counted\n',
        "\n    )\n",
        says="the gradient is wrong: it is summed over processes",
    ),
    Mistake(
        "parallel_step",
        ', reduction="sum"\n    )\n    loss = loss / num_counted\n',
        "\n    )\n    loss = loss / num_processes\n",
        says="the gradient is wrong: it is the mean of the processes' means",
    ),
    Mistake(
        "parallel_step",
        ', reduction="sum"\n    )\n    loss = loss / num_counted\n',
        "\n    )\n    loss = loss * len(inputs[own]) / len(inputs)\n",
        says="each process is weighed with its rows",
    ),
    Mistake(
        "parallel_step",
        "num_counted = (targets != -100).sum()",
        "num_counted = targets.numel()",
        says="the sum is divided by all targets",
    ),
    Mistake(
        "parallel_step",
        "num_counted = (targets != -100).sum()",
        "num_counted = num_processes * (targets != -100).sum()",
        says="divided by the number of processes once too often",
    ),
    Mistake(
        "parallel_step",
        "num_counted = (targets != -100).sum()",
        "num_counted = (targets[own] != -100).sum()",
        says="it is summed over processes",
    ),
    Mistake(
        "parallel_step",
        "    optimizer.step()",
        "    optimizer.step()\n    optimizer.step()",
        says="a process makes more than one step",
    ),
    Mistake(
        "parallel_step",
        "    all_reduce(mean)\n",
        "",
        says="the processes return different losses",
    ),
    Mistake(
        "parallel_step",
        "all_reduce(mean)\n",
        "all_reduce(mean)\n    mean = mean / num_processes\n",
        says="the loss is wrong: it is divided by the number of processes once too",
    ),
    Mistake(
        "parallel_step",
        "    mean = loss.detach()  # a plain tensor, without the graph\n",
        "    mean = loss.item()\n",
        says="`all_reduce` is given a float",
    ),
    Mistake(
        "parallel_step",
        "    optimizer.zero_grad()\n",
        "    optimizer.zero_grad()\n"
        "    if len(inputs[own]) == 0:\n        return 0.0\n",
        says="a process waits in `all_reduce` for one that has already finished",
    ),
    Mistake(
        "parallel_step",
        "    loss.backward()",
        "    if len(inputs[own]) > 0:\n        loss.backward()",
        says="`all_reduce` is given None",
    ),
    Mistake(
        "parallel_step",
        ', reduction="sum"\n    )\n    loss = loss / num_counted\n',
        "\n    )\n    own_counted = (targets[own] != -100).sum()\n"
        "    loss = loss * own_counted / num_counted\n",
        says="the loss is nan",
    ),
    Mistake(
        "parallel_step",
        REDUCE_GRADIENTS + MEAN_LOSS + "    optimizer.step()",
        "    for parameter in model.parameters():\n"
        "        parameter.grad *= num_processes\n"
        "    optimizer.step()\n"
        "    for parameter in model.parameters():\n"
        "        all_reduce(parameter.data)\n"
        "        parameter.data /= num_processes\n" + MEAN_LOSS,
        says="with AdamW the step is not that of one process",
    ),
    Mistake(
        "relative_change",
        "(new - old).norm() / old.norm()",
        "(new.norm() - old.norm()) / old.norm()",
        says="the lengths are subtracted",
    ),
    Mistake(
        "relative_change",
        None,
        "def relative_change(before, after):\n"
        "    ratios = [(a - b).norm() / b.norm() for b, a in zip(before, after)]\n"
        "    return (sum(ratios) / len(ratios)).item()\n",
        says="the tensors' own ratios are averaged",
    ),
    Mistake(
        "relative_change",
        "/ old.norm()",
        "/ new.norm()",
        says="divided by the length after the step",
    ),
    Mistake(
        "relative_change", " / old.norm()", "", says="is not divided by the length"
    ),
    Mistake(
        "relative_change",
        None,
        "def relative_change(before, after):\n"
        "    for old, new in zip(before, after):\n"
        "        new -= old\n"
        "    lengths = [sum(t.square().sum() for t in ts) for ts in (after, before)]\n"
        "    return (lengths[0] / lengths[1]).sqrt().item()\n",
        says="the tensors that were given are changed",
    ),
    Mistake(
        "bytes_per_process",
        "list(model.parameters())",
        "list({p.data_ptr(): p for p in model.parameters()}.values())",
        says="of a model on the device meta only one parameter is counted",
    ),
    Mistake(
        "bytes_per_process",
        "list(model.parameters())",
        "list({p.shape: p for p in model.parameters()}.values())",
        says="of two parameters of one shape only one is counted",
    ),
    Mistake(
        "flops_per_token",
        "12 * width**2",
        "3 * width**2",
        says="should be 1175040, not 552960",
    ),
    Mistake(
        "accumulated_step",
        "loss.backward()",
        "loss.backward(retain_graph=True)",
        says="the activations of the first piece are still there",
    ),
    Mistake(
        "accumulated_step",
        "    optimizer.zero_grad()",
        "    model.eval()\n    optimizer.zero_grad()",
        says="the model is put into eval mode",
    ),
    Mistake(
        "parallel_step",
        "own = slice(rank, None, num_processes)",
        "size = -(-len(inputs) // num_processes)\n"
        "    own = slice(rank * size, (rank + 1) * size)",
        says="of 5 rows in 4 processes they read 2, 2, 1, 0",
    ),
    Mistake(
        "parallel_step",
        "    optimizer.step()",
        "    if rank == 0:\n        optimizer.step()",
        says="and every process makes the step",
    ),
    Mistake(
        "relative_change",
        None,
        "def relative_change(before, after):\n"
        "    return ((after[0] - before[0]).norm() / before[0].norm()).item()\n",
        says="only the first tensor is looked at",
    ),
]

VARIANTS = [
    Variant(
        "largest_run",
        None,
        "def largest_run(days, operations_per_second):\n"
        "    tokens = (days * 86400 * operations_per_second * 20 / 6) ** 0.5\n"
        "    return [tokens / 20, tokens]\n",
    ),
    Variant(
        "flops_per_token",
        None,
        "def flops_per_token(config, length, recompute=False):\n"
        "    with torch.device('meta'):\n"
        "        model = GPTModel.from_config(config)\n"
        "    weights = [\n"
        "        module.weight.numel()\n"
        "        for module in model.trf_blocks.modules()\n"
        "        if isinstance(module, torch.nn.Linear)\n"
        "    ]\n"
        "    attention = 2 * length * config.embedding_dim * config.num_layers\n"
        "    blocks = 2 * (sum(weights) + attention)\n"
        "    head = 2 * model.out_head.weight.numel()\n"
        "    return 3.0 * (blocks + head) + (blocks if recompute else 0)\n",
    ),
    Variant(
        "bytes_per_process",
        None,
        "def bytes_per_process(model, num_processes, divided=()):\n"
        "    held = dict.fromkeys(('weights', 'gradients', 'moments'), 0)\n"
        "    for p in {id(p): p for p in model.parameters()}.values():\n"
        "        size = p.untyped_storage().nbytes()\n"
        "        held['weights'] += size\n"
        "        if p.requires_grad:\n"
        "            held['gradients'] += size\n"
        "            held['moments'] += size + size\n"
        "    for kind in divided:\n"
        "        held[kind] /= num_processes\n"
        "    return held\n",
    ),
    Variant(
        "learning_rate",
        None,
        "def learning_rate(step, peak, floor, warmup_steps, total_steps):\n"
        "    if step >= total_steps:\n"
        "        return floor\n"
        "    rising = (step + 1) / max(1, warmup_steps)\n"
        "    if rising <= 1 and warmup_steps > 0:\n"
        "        return torch.tensor(peak * rising)\n"
        "    done = (step - warmup_steps) / (total_steps - warmup_steps)\n"
        "    half = (peak - floor) / 2\n"
        "    return floor + half + half * math.cos(done * math.pi)\n",
    ),
    Variant(  # means, weighed with the tokens that count; empty pieces are left out
        "accumulated_step",
        None,
        "def accumulated_step(model, optimizer, micro_batches):\n"
        "    model.zero_grad(set_to_none=False)\n"
        "    counts = [int((y != -100).sum()) for _, y in micro_batches]\n"
        "    losses = []\n"
        "    for (x, y), count in zip(micro_batches, counts):\n"
        "        if count:\n"
        "            loss = calc_loss_batch(x, y, model, 'cpu')\n"
        "            losses.append(loss.item() * count / sum(counts))\n"
        "            (loss * (count / sum(counts))).backward()\n"
        "    optimizer.step()\n"
        "    return sum(losses)\n",
    ),
    Variant(  # sums first, the division of the gradients last
        "accumulated_step",
        None,
        "def accumulated_step(model, optimizer, micro_batches):\n"
        "    optimizer.zero_grad()\n"
        "    total, count = 0.0, 0\n"
        "    for x, y in micro_batches:\n"
        "        logits = model(x).transpose(1, 2)\n"
        "        loss = F.cross_entropy(logits, y, reduction='sum')\n"
        "        loss.backward()\n"
        "        total, count = total + loss.item(), count + y.ne(-100).sum().item()\n"
        "    for p in model.parameters():\n"
        "        p.grad /= count\n"
        "    optimizer.step()\n"
        "    return total / count\n",
    ),
    Variant(  # rows next to each other, the counts summed by `all_reduce` too
        "parallel_step",
        None,
        "def parallel_step(\n"
        "    model, optimizer, inputs, targets, rank, num_processes, all_reduce\n"
        "):\n"
        "    x = inputs.tensor_split(num_processes)[rank]\n"
        "    y = targets.tensor_split(num_processes)[rank]\n"
        "    model.zero_grad()\n"
        "    sums = torch.zeros(2)\n"
        "    sums[1] = (y != -100).sum()\n"
        "    if sums[1] > 0:\n"
        "        loss = calc_loss_batch(x, y, model, 'cpu') * sums[1]\n"
        "        loss.backward()\n"
        "        sums[0] = loss.item()\n"
        "    all_reduce(sums)\n"
        "    for p in reversed(list(model.parameters())):\n"
        "        if p.grad is None:\n"
        "            p.grad = torch.zeros_like(p)\n"
        "        all_reduce(p.grad)\n"
        "        p.grad /= sums[1]\n"
        "    optimizer.step()\n"
        "    return float(sums[0] / sums[1])\n",
    ),
    Variant(  # one message for all gradients and the loss, and none where one is alone
        "parallel_step",
        REDUCE_GRADIENTS + MEAN_LOSS,
        "    mean = loss.detach()\n"
        "    if num_processes > 1:\n"
        "        grads = [p.grad.flatten() for p in model.parameters()]\n"
        "        message = torch.cat([*grads, mean[None]])\n"
        "        all_reduce(message)\n"
        "        mean = message[-1]\n"
        "        for p in model.parameters():\n"
        "            p.grad.copy_(message[: p.numel()].view_as(p))\n"
        "            message = message[p.numel() :]\n",
    ),
    Variant(
        "relative_change",
        None,
        "def relative_change(before, after):\n"
        "    squares = [0.0, 0.0]\n"
        "    for old, new in zip(before, after):\n"
        "        squares[0] += ((new - old) ** 2).sum()\n"
        "        squares[1] += (old**2).sum()\n"
        "    return (squares[0] / squares[1]) ** 0.5\n",
    ),
    Variant(  # a piece in which no target counts goes forward, but not backward
        "accumulated_step",
        None,
        "def accumulated_step(model, optimizer, micro_batches):\n"
        "    model.train()\n"
        "    optimizer.zero_grad()\n"
        "    num = sum((y != -100).sum() for _, y in micro_batches)\n"
        "    mean = torch.zeros(())\n"
        "    for x, y in micro_batches:\n"
        "        logits = model(x)\n"
        "        count = (y != -100).sum()\n"
        "        if count == 0:\n"
        "            continue\n"
        "        share = count / num\n"
        "        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten())\n"
        "        (loss * share).backward()\n"
        "        mean = mean + loss * share\n"
        "    optimizer.step()\n"
        "    return mean.item()\n",
    ),
]
