"""Wrong and other right answers to the exercises of lesson 02."""

from mistakes import Mistake, Variant

MISTAKES = [
    Mistake(
        "calc_loss_batch",
        "logits.flatten(0, 1), target_batch.flatten()",
        "logits.flatten(0, 1), input_batch.flatten()",
        says="the targets are the inputs",
    ),
    Mistake(
        "calc_loss_batch",
        "target_batch.flatten())",
        "target_batch.flatten(), reduction='sum')",
        says="a sum over tokens, not a mean",
    ),
    Mistake(
        "calc_loss_batch",
        "logits.flatten(0, 1)",
        "logits.flatten(0, 1).softmax(dim=-1)",
        says="softmax is taken twice",
    ),
    Mistake(
        "calc_loss_batch",
        "logits.flatten(0, 1)",
        "logits.transpose(0, 1).flatten(0, 1)",
        says="reshaped over the wrong axis",
    ),
    Mistake(
        "calc_loss_batch",
        "target_batch.flatten())",
        "target_batch.flatten()).item()",
        says="cannot be differentiated",
    ),
    Mistake(
        "calc_loss_batch",
        "logits.flatten(0, 1), target_batch.flatten()",
        "logits[:, -1], target_batch[:, -1]",
        says="only the last position is scored",
    ),
    Mistake(
        "calc_loss_batch",
        "logits.flatten(0, 1)",
        "logits",
        says="stops with ",
    ),
    Mistake(
        "training_step",
        "optimizer.zero_grad()",
        "pass",
        says="gradients are never zeroed",
    ),
    Mistake(
        "training_step",
        "optimizer.step()",
        "optimizer.zero_grad()",
        says="no weight has moved",
    ),
    Mistake(
        "training_step",
        "loss.item()",
        "loss",
        says="should come back as a float",
    ),
    Mistake(
        "training_step",
        "return loss.item()",
        "return calc_loss_batch(input_batch, target_batch, model, 'cpu').item()",
        says="was computed after the step",
    ),
    Mistake(
        "training_step",
        "    optimizer.step()",
        "    optimizer.step()\n    optimizer.step()",
        says="makes two steps",
    ),
    Mistake(
        "calc_loss_loader",
        "    model.eval()\n",
        "",
        says="left in train mode during evaluation",
    ),
    Mistake(
        "calc_loss_loader",
        "torch.no_grad()",
        "torch.enable_grad()",
        says="gradients are tracked",
    ),
    Mistake(
        "calc_loss_loader",
        "total_loss += loss.item() * target_batch.numel()\n"
        "            total_tokens += target_batch.numel()",
        "total_loss += loss.item()\n            total_tokens += 1",
        says="the mean is over batches, not tokens",
    ),
    Mistake(
        "calc_loss_loader",
        "model.train(was_training)",
        "pass",
        says="stays in eval mode",
    ),
    Mistake(
        "calc_loss_loader",
        "model.train(was_training)",
        "model.train()",
        says="comes back in train mode",
    ),
    Mistake(
        "calc_loss_loader",
        "if i == num_batches:",
        "if False:",
        says="`num_batches` is not looked at",
    ),
    Mistake(
        "calc_loss_loader",
        "if i == num_batches:",
        "if num_batches is not None and i > num_batches:",
        says="one batch too many",
    ),
    Mistake(
        "quiet_loader",
        ", generator=torch.Generator()",
        "",
        says="draws from the global generator",
    ),
    Mistake(
        "quiet_loader",
        "batch_size, generator",
        "batch_size, shuffle=True, generator",
        says="the order changes",
    ),
    Mistake(
        "quiet_loader",
        "batch_size, generator",
        "batch_size, drop_last=True, generator",
        says="the last windows are dropped",
    ),
    Mistake(
        "train",
        "        model.train()",
        "        pass",
        says="trains in eval mode",
    ),
    Mistake(
        "train",
        "tokens_seen += input_batch.numel()",
        "tokens_seen += len(input_batch)",
        says="`tokens_seen` counts windows",
    ),
    Mistake(
        "train",
        "    for _epoch in range(num_epochs):",
        "    for _epoch in range(1):",
        says="only one epoch",
    ),
    Mistake(
        "train",
        "training_step(model, optimizer, input_batch, target_batch)",
        "calc_loss_batch(input_batch, target_batch, model, 'cpu')\n"
        "            loss.backward()\n"
        "            optimizer.step()\n"
        "            loss = loss.item()",
        says="gradients are never zeroed",
    ),
    Mistake(
        "train",
        "losses.append(loss)",
        "losses.append(torch.tensor(loss))",
        says="the list holds tensors",
    ),
    Mistake(
        "clipped_step",
        "    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n"
        "    optimizer.step()",
        "    optimizer.step()\n"
        "    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)",
        says="the step is not clipped",
    ),
    Mistake(
        "clipped_step",
        "norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)",
        "norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])\n"
        "    torch.nn.utils.clip_grad_value_(model.parameters(), max_norm)",
        says="each value is clipped on its own",
    ),
    Mistake(
        "clipped_step",
        "    optimizer.step()\n    return norm.item()",
        "    optimizer.step()\n    return min(norm.item(), max_norm)",
        says="is that after clipping",
    ),
    Mistake(
        "window_moved_by",
        "tokens[shift : shift + length]",
        "tokens[:length]",
        says="targets are not moved at all",
    ),
    Mistake(
        "window_moved_by",
        "tokens[shift : shift + length]",
        "tokens[1 : 1 + length]",
        says="targets are not moved by `shift`",
    ),
    Mistake(
        "calc_loss_batch",
        "input_batch.to(device), target_batch.to(device)",
        "input_batch, target_batch",
        says="batch is not moved to `device`",
    ),
    Mistake(
        "calc_loss_batch",
        "input_batch.to(device), target_batch.to(device)",
        "input_batch.to(device), target_batch",
        says="batch is not moved to `device`",
    ),
    Mistake(
        "calc_loss_batch",
        "input_batch.to(device), target_batch.to(device)",
        "input_batch, target_batch.to(device)",
        says="batch is not moved to `device`",
    ),
    Mistake(
        "calc_loss_batch",
        "logits = model",
        "model.eval()\n    logits = model",
        says="is put in eval mode",
    ),
    Mistake(
        "calc_loss_batch",
        "logits = model",
        "model.train()\n    logits = model",
        says="is put in train mode",
    ),
    Mistake(
        "calc_loss_batch",
        "logits.flatten(0, 1), target_batch.flatten()",
        "logits.reshape(logits.shape[0], logits.shape[2], -1), target_batch",
        says="`reshape` mixes positions and vocabulary",
    ),
    Mistake(
        "training_step",
        "    loss.backward()",
        "    model.eval()\n    loss.backward()",
        says="is put in eval mode",
    ),
    Mistake(
        "training_step",
        "    optimizer.step()",
        "    loss = calc_loss_batch(input_batch, target_batch, model, 'cpu')\n"
        "    optimizer.step()",
        says="the model is called 2 times",
    ),
    Mistake(
        "calc_loss_loader",
        "    with torch.no_grad():\n",
        "    torch.set_grad_enabled(False)\n    if True:\n",
        says="gradients stay switched off",
    ),
    Mistake(
        "calc_loss_loader",
        "                break\n",
        "                return total_loss / total_tokens\n",
        says="where `num_batches` is reached",
    ),
    Mistake(
        "calc_loss_loader",
        "    total_loss, total_tokens = 0.0, 0\n",
        "    total_loss, total_tokens = 0.0, 0\n"
        "    if num_batches:\n"
        "        batches = iter(data_loader)\n"
        "        data_loader = [next(batches) for _ in range(num_batches)]\n",
        says="`num_batches` may be larger",
    ),
    Mistake(
        "calc_loss_loader",
        "    model.eval()\n",
        "    model.eval()\n"
        "    data_loader = DataLoader(data_loader.dataset, data_loader.batch_size)\n",
        says="taken from `data_loader.dataset`",
    ),
    Mistake(
        "quiet_loader",
        "torch.Generator()",
        "torch.Generator().manual_seed(torch.randint(9, ()).item())",
        says="making the loader changes the global generator",
    ),
    Mistake(
        "train",
        "    losses, tokens_seen = [], 0\n",
        "    losses, tokens_seen = [], 0\n    train_loader = list(train_loader)\n",
        says="the same batches in the same order",
    ),
    Mistake(
        "train",
        "        model.train()",
        "        torch.manual_seed(0)\n        model.train()",
        says="every epoch sets the same seed",
    ),
    Mistake(
        "train",
        "        model.train()",
        "        optimizer.state.clear()\n        model.train()",
        says="forgets its running means",
    ),
    Mistake(
        "clipped_step",
        "    optimizer.zero_grad()\n",
        "",
        says="gradients are never zeroed",
    ),
    Mistake(
        "clipped_step",
        "norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)",
        "norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])\n"
        "    for group in optimizer.param_groups:\n"
        "        group['lr'] *= min(1, max_norm / norm.item())",
        says="the learning rate is changed",
    ),
    Mistake(
        "clipped_step",
        "model.parameters()",
        "optimizer.param_groups[0]['params']",
        says="of the first parameter group alone",
    ),
    Mistake(
        "clipped_step",
        "norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)",
        "norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])\n"
        "    some = optimizer.param_groups[0]['params']\n"
        "    torch.nn.utils.clip_grad_norm_(some, max_norm)",
        says="only the first parameter group is clipped",
    ),
    Mistake(
        "clipped_step",
        "norm.item()",
        "norm",
        says="should come back as a float, not Tensor",
    ),
    Mistake(
        "clipped_step",
        "norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)",
        "for p in model.parameters():\n"
        "        norm = torch.nn.utils.clip_grad_norm_(p, max_norm)",
        says="the norm is taken of each parameter on its own",
    ),
    Mistake(
        "clipped_step",
        "norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)",
        "norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])\n"
        "    for p in model.parameters():\n"
        "        torch.nn.utils.clip_grad_norm_(p, max_norm)",
        says="each parameter is clipped on its own",
    ),
    Mistake(
        "clipped_step",
        'calc_loss_batch(input_batch, target_batch, model, "cpu").backward()',
        'loss = calc_loss_batch(input_batch, target_batch, model, "cpu")',
        says="the norm is 0",
    ),
    Mistake(
        "clipped_step",
        None,
        "def clipped_step(model, optimizer, input_batch, target_batch, max_norm):\n"
        "    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)\n"
        "    optimizer.zero_grad()\n"
        "    calc_loss_batch(input_batch, target_batch, model, 'cpu').backward()\n"
        "    optimizer.step()\n"
        "    return norm.item()\n",
        says="clip after `backward`",
    ),
]

VARIANTS = [
    Variant(
        "calc_loss_batch",
        "F.cross_entropy(logits.flatten(0, 1), target_batch.flatten())",
        "-logits.log_softmax(-1).gather(-1, target_batch[..., None]).mean()",
    ),
    Variant(
        "calc_loss_batch",
        "logits.flatten(0, 1), target_batch.flatten()",
        "logits.transpose(1, 2), target_batch",
    ),
    Variant(
        "train",
        "loss = training_step(model, optimizer, input_batch, target_batch)",
        "loss = calc_loss_batch(input_batch, target_batch, model, 'cpu')\n"
        "            optimizer.zero_grad(set_to_none=False)\n"
        "            loss.backward()\n"
        "            optimizer.step()\n"
        "            loss = loss.item()",
    ),
    Variant(
        "clipped_step",
        "norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)",
        "params = [p for group in optimizer.param_groups for p in group['params']]\n"
        "    norm = torch.cat([p.grad.flatten() for p in params]).norm()\n"
        "    for p in params:\n"
        "        p.grad *= min(1.0, max_norm / norm.item())",
    ),
    Variant(
        "calc_loss_loader",
        "torch.no_grad()",
        "torch.inference_mode()",
    ),
    Variant(
        "calc_loss_loader",
        "                break\n",
        "                model.train(was_training)\n"
        "                return total_loss / total_tokens\n",
    ),
    Variant(
        "training_step",
        "    optimizer.zero_grad()",
        "    model.train()\n    model.zero_grad()",
    ),
    Variant(
        "train",
        "    losses, tokens_seen = [], 0\n",
        "    torch.manual_seed(123)\n    losses, tokens_seen = [], 0\n",
    ),
]
