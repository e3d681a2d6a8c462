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
]
