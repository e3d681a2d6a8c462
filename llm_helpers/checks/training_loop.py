"""Checks of the exercises of lesson 02: losses, the training step, the loop."""

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from llm_helpers.checks.specimens import (
    small_batch,
    small_loader,
    small_model,
    small_windows,
    weights_of,
)
from llm_helpers.checks.verdict import check, require, require_value


@check
def calc_loss_batch(answer):
    model = small_model()
    inputs, targets = small_batch()
    logits = model(inputs).detach()
    loss = answer(inputs, targets, model, "cpu")
    require(
        isinstance(loss, torch.Tensor) and loss.requires_grad,
        "the loss cannot be differentiated: return the tensor itself, without "
        "`.item()` and outside of `torch.no_grad()`",
    )
    rows = logits.flatten(0, 1)
    probas = torch.softmax(rows, dim=-1)
    require_value(
        "the loss",
        loss,
        F.cross_entropy(rows, targets.flatten()),
        {
            "the loss is a sum over tokens, not a mean: leave `reduction` as it is": (
                F.cross_entropy(rows, targets.flatten(), reduction="sum")
            ),
            "the targets are the inputs: the model is asked for the token it has just "
            "read, so pass `target_batch`": F.cross_entropy(rows, inputs.flatten()),
            "softmax is taken twice: `F.cross_entropy` wants logits, not "
            "probabilities": F.cross_entropy(probas, targets.flatten()),
            "the logits are reshaped over the wrong axis: `flatten(0, 1)` keeps the "
            "vocabulary last": F.cross_entropy(
                logits.transpose(0, 1).flatten(0, 1), targets.flatten()
            ),
            "only the last position is scored: every position has a target": (
                F.cross_entropy(logits[:, -1], targets[:, -1])
            ),
        },
    )


@check
def training_step(answer):
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, targets = small_batch()
    before = weights_of(model)
    expected_loss = _loss(model, inputs, targets).item()
    loss = answer(model, optimizer, inputs, targets)
    require(
        isinstance(loss, float),
        f"the loss should come back as a float, not {type(loss).__name__}: `.item()` "
        "gives the number without the graph behind it",
    )
    _require_one_step(before, weights_of(model), inputs, targets)
    require_value(
        "the loss that comes back",
        loss,
        expected_loss,
        {
            "the loss that comes back was computed after the step: return that of the "
            "forward pass which the step was made from": _loss(
                model, inputs, targets
            ).item()
        },
    )
    _require_gradients_are_zeroed(answer)


def _require_one_step(before, after, inputs, targets):
    """One step of SGD at a rate of 0.1 leads from weights `before` to `after`."""
    require(
        not torch.equal(before, after),
        "no weight has moved: `optimizer.step()` is missing, or comes before "
        "`backward`, or `zero_grad` comes between the two",
    )
    model = small_model()
    gradient = _gradient(model, inputs, targets)
    require_value(
        "the change of the weights",
        (before - after).norm() / gradient.norm(),
        torch.tensor(0.1),
        {"the optimizer makes two steps where one is asked for": 0.2},
        tolerance=1e-3,
    )


def _require_gradients_are_zeroed(answer):
    """A second step, from the same weights, is as long as the first."""
    lengths = []
    model = small_model()
    start = model.state_dict()
    start = {name: tensor.clone() for name, tensor in start.items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        model.load_state_dict(start)
        before = weights_of(model)
        answer(model, optimizer, *small_batch())
        lengths.append((weights_of(model) - before).norm())
    require_value(
        "the length of the second step, from the same weights and batch,",
        lengths[1] / lengths[0],
        torch.tensor(1.0),
        {"gradients are never zeroed: the second step still holds the first's": 2.0},
        tolerance=1e-3,
    )


@check
def calc_loss_loader(answer):
    model = small_model(dropout=0.5)
    loader = small_loader()  # batches of 2, 2 and 1 windows
    model.eval()
    with torch.no_grad():
        losses = [_loss(model, *batch).item() for batch in loader]
    model.train()
    seen = []
    hook = model.register_forward_hook(
        lambda module, _, logits: seen.append((module.training, logits.requires_grad))
    )
    loss = answer(loader, model, "cpu")
    hook.remove()
    require(bool(seen), "the model was never called: the losses come from its logits")
    require(
        not any(training for training, _ in seen),
        "the model is left in train mode during evaluation: dropout makes the loss "
        "random, so call `model.eval()` first",
    )
    require(
        not any(graph for _, graph in seen),
        "gradients are tracked during evaluation: run it under `torch.no_grad()`",
    )
    require(isinstance(loss, float), "the mean should come back as a float")
    require_value(
        "the mean loss",
        loss,
        (2 * losses[0] + 2 * losses[1] + losses[2]) / 5,
        {
            "the mean is over batches, not tokens: the short last batch counts as much "
            "as a full one, so weigh each batch with `target_batch.numel()`": (
                sum(losses) / 3
            ),
            "the losses are summed up and never divided": sum(losses),
            "only the first batch is counted: `return` stands inside the loop": (
                losses[0]
            ),
        },
    )
    _require_num_batches_and_mode(answer, model, loader, losses)


def _require_num_batches_and_mode(answer, model, loader, losses):
    require(
        model.training,
        "the model stays in eval mode: put back the mode it was in, or training goes "
        "on without dropout",
    )
    require_value(
        "the mean over num_batches=1",
        answer(loader, model, "cpu", num_batches=1),
        losses[0],
        {
            "`num_batches` is not looked at: stop after that many batches": (
                (2 * losses[0] + 2 * losses[1] + losses[2]) / 5
            ),
            "one batch too many is read: stop before batch number `num_batches`": (
                (losses[0] + losses[1]) / 2
            ),
            "the sum over a few batches is divided by the tokens of all: count the "
            "tokens of the batches that were read": losses[0] * 2 / 5,
        },
    )
    model.eval()
    answer(loader, model, "cpu")
    require(
        not model.training,
        "a model that was in eval mode comes back in train mode: remember "
        "`model.training` first and put that back",
    )


@check
def quiet_loader(answer):
    dataset = small_windows(5)
    loader = answer(dataset, 2)
    require(
        isinstance(loader, DataLoader),
        f"a DataLoader should come back, not {type(loader).__name__}",
    )
    state = torch.get_rng_state()
    first, second = ([b[0] for b in loader] for _ in range(2))
    require(
        torch.equal(state, torch.get_rng_state()),
        "iterating draws from the global generator, so each look at the loss changes "
        "the training: give the loader `generator=torch.Generator()`",
    )
    require(
        all(torch.equal(a, b) for a, b in zip(first, second)),
        "the order changes from one pass to the next, so losses over a few batches "
        "do not compare: leave `shuffle` off",
    )
    sizes = [len(batch) for batch in first]
    require(
        sum(sizes) == 5,
        "the last windows are dropped: an evaluation counts every token, so leave "
        "`drop_last` off",
    )
    require(
        sizes == [2, 2, 1], f"the batches hold {sizes} windows instead of [2, 2, 1]"
    )


@check
def train(answer):
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    modes = []
    model.register_forward_hook(lambda module, *_: modes.append(module.training))
    model.eval()  # as an evaluation may have left it
    expected = _losses_of_two_epochs()
    losses, tokens_seen = answer(model, optimizer, small_loader(), 2)
    require(
        len(losses) != 3,
        "only one epoch is trained: a loop over `num_epochs` goes around that over "
        "batches",
    )
    require(
        len(losses) == len(expected),
        f"{len(losses)} losses come back from 2 epochs of 3 batches, not 6: one for "
        "each optimizer step",
    )
    require(
        all(modes),
        "the model trains in eval mode, without dropout: call `model.train()` at the "
        "start of each epoch",
    )
    require(
        not any(isinstance(loss, torch.Tensor) for loss in losses),
        "the list holds tensors, each with the graph of its step, and memory fills up: "
        "keep `loss.item()`",
    )
    require_value(
        "the losses, step by step,",
        losses,
        expected,
        {
            "gradients are never zeroed: each step still holds those before": (
                _losses_of_two_epochs(zero_grad=False)
            ),
            "the losses are those after the steps: take the loss that the step was "
            "made from": _losses_of_two_epochs(after=True),
            "no weight has moved: is `optimizer.step()` called after `backward`?": (
                _losses_of_two_epochs(step=False)
            ),
        },
        tolerance=1e-3,
    )
    require_value(
        "the number of tokens seen",
        tokens_seen,
        80,
        {
            "`tokens_seen` counts windows: add `input_batch.numel()`": 10,
            "`tokens_seen` counts steps: add `input_batch.numel()`": 6,
            "`tokens_seen` starts anew in each epoch: set it to 0 before the loops": 40,
            "`tokens_seen` supposes that all batches are full: the last one is not, so "
            "add `input_batch.numel()`": 96,
        },
    )


def _losses_of_two_epochs(zero_grad=True, step=True, after=False):
    """What `train` should return, or returns with one of the common mistakes."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for inputs, targets in [*small_loader(), *small_loader()]:
        if zero_grad:
            optimizer.zero_grad()
        loss = _loss(model, inputs, targets)
        loss.backward()
        if step:
            optimizer.step()
        losses.append((_loss(model, inputs, targets) if after else loss).item())
    return torch.tensor(losses)


@check
def clipped_step(answer):
    inputs, targets = small_batch()
    gradient = _gradient(small_model(), inputs, targets)
    below_a_value = gradient.abs().max().item() / 2  # so that clipping values shows
    _require_clipped(answer, below_a_value, gradient)
    _require_clipped(answer, 4 * gradient.norm().item(), gradient)


def _require_clipped(answer, max_norm, gradient):
    """One step of SGD, its gradient scaled down to `max_norm` where it is longer."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = weights_of(model)
    norm = answer(model, optimizer, *small_batch(), max_norm)
    moved = (before - weights_of(model)) / 0.1
    true_norm = gradient.norm()
    by_value = gradient.clamp(-max_norm, max_norm)
    require_value(
        "the norm that comes back",
        norm,
        true_norm,
        {
            "the norm that comes back is that after clipping: return the one before, "
            "which shows how wild the step was": min(max_norm, true_norm.item())
        },
        tolerance=1e-3,
    )
    require_value(
        "the length of the step divided by the learning rate",
        moved.norm(),
        true_norm.clamp(max=max_norm),
        {
            "the step is not clipped: clip between `backward` and `step`, not after "
            "the step and not before the gradients are there": true_norm,
            "a gradient that is short enough is stretched: scale down only where the "
            "norm is above `max_norm`": max_norm,
            "each value is clipped on its own: clip the norm over all parameters": (
                by_value.norm()
            ),
        },
        tolerance=1e-3,
    )
    require_value(
        "the direction of the step (its cosine with the gradient)",
        F.cosine_similarity(moved, gradient, dim=0),
        torch.tensor(1.0),
        {},
        tolerance=1e-3,
    )


@check
def window_moved_by(answer):
    tokens = torch.arange(100, 112)
    for shift in (1, 0, 2):
        inputs, targets = answer(tokens, 5, shift)
        require_value("the inputs", inputs, tokens[:5], {})
        require_value(
            f"the targets for shift={shift}",
            targets,
            tokens[shift : shift + 5],
            {
                "targets are not moved by `shift`: they are always one ahead": (
                    tokens[1:6]
                ),
                "the targets are moved backwards: position i should ask for token "
                "i + shift": tokens.roll(shift)[:5],
                "targets are not moved at all: they equal the inputs": tokens[:5],
            },
        )


def _loss(model, inputs, targets):
    """The mean cross entropy of a batch, with gradients."""
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def _gradient(model, inputs, targets):
    """The gradient of a batch's loss in all parameters, in one row."""
    model.zero_grad()
    _loss(model, inputs, targets).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])
