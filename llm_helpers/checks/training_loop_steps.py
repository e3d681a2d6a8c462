"""Checks of lesson 02: the loop over epochs, and the step with a clipped gradient."""

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
from llm_helpers.checks.training_loop_gradients import (
    gradient_of,
    loss_of,
    require_gradients_are_zeroed,
)
from llm_helpers.checks.verdict import check, require, require_value


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
    _require_losses_and_tokens(losses, tokens_seen, expected)
    _require_one_optimizer_for_all_epochs(answer)
    _require_new_order_in_each_epoch(answer)


def _require_losses_and_tokens(losses, tokens_seen, expected):
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


def _require_one_optimizer_for_all_epochs(answer):
    """Two epochs of AdamW, which remembers, on a loader with a generator of its own."""
    model = small_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses, _ = answer(model, optimizer, _shuffled_loader(), 2)
    require_value(
        "the losses with AdamW on a shuffled loader, step by step,",
        losses,
        _losses_with_adamw(),
        {
            "every epoch goes over the same batches in the same order: let each epoch "
            "go over `train_loader` itself, which shuffles anew": (
                _losses_with_adamw(same_order=True)
            ),
            "the optimizer forgets its running means between two epochs: leave its "
            "state alone": _losses_with_adamw(forgets=True),
        },
        tolerance=1e-3,
    )


def _shuffled_loader():
    generator = torch.Generator().manual_seed(3)
    return DataLoader(small_windows(7), 2, shuffle=True, generator=generator)


def _losses_with_adamw(same_order=False, forgets=False):
    """What `train` should return there, or returns with one of two mistakes."""
    model = small_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    loader = _shuffled_loader()
    if same_order:
        loader = list(loader)
    losses = []
    for _epoch in range(2):
        if forgets:
            optimizer.state.clear()
        for batch in loader:
            optimizer.zero_grad()
            loss = loss_of(model, *batch)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return torch.tensor(losses)


def _require_new_order_in_each_epoch(answer):
    """A loader that shuffles with the global generator orders two epochs unlike."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = []
    model.register_forward_hook(lambda _module, args, _: seen.append(args[0].flatten()))
    answer(model, optimizer, DataLoader(small_windows(8), 2, shuffle=True), 2)
    first, second = torch.cat(seen).chunk(2)
    require(
        not torch.equal(first, second),
        "every epoch sets the same seed and so repeats the order of the one before: "
        "leave the global generator alone",
    )


def _losses_of_two_epochs(zero_grad=True, step=True, after=False):
    """What `train` should return, or returns with one of the common mistakes."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for inputs, targets in [*small_loader(), *small_loader()]:
        if zero_grad:
            optimizer.zero_grad()
        loss = loss_of(model, inputs, targets)
        loss.backward()
        if step:
            optimizer.step()
        losses.append((loss_of(model, inputs, targets) if after else loss).item())
    return torch.tensor(losses)


@check
def clipped_step(answer):
    inputs, targets = small_batch()
    gradient = gradient_of(small_model(), inputs, targets)
    below_a_value = gradient.abs().max().item() / 2  # so that clipping values shows
    _require_clipped(answer, below_a_value, gradient)
    never = 4 * gradient.norm().item()
    _require_clipped(answer, never, gradient)
    require_gradients_are_zeroed(lambda *args: answer(*args, never))


def _require_clipped(answer, max_norm, gradient):
    """One step of SGD, its gradient scaled down to `max_norm` where it is longer."""
    model = small_model()
    params = [*model.parameters()]
    groups = [{"params": params[::2]}, {"params": params[1::2]}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    before = weights_of(model)
    norm = answer(model, optimizer, *small_batch(), max_norm)
    moved = (before - weights_of(model)) / 0.1
    pieces = gradient.split([p.numel() for p in params])
    _require_norm(norm, max_norm, gradient, pieces)
    require(
        all(group["lr"] == 0.1 for group in optimizer.param_groups),
        "the learning rate is changed, and stays so for the steps that follow: scale "
        "the gradients, and leave the optimizer alone",
    )
    _require_move(moved, max_norm, gradient, pieces)


def _require_norm(norm, max_norm, gradient, pieces):
    """The number that comes back, from a gradient and its pieces by parameter."""
    norms = torch.stack([piece.norm() for piece in pieces])
    one_by_one = (
        "the norm is taken of each parameter on its own: take one over all parameters "
        "together"
    )
    true_norm = gradient.norm().item()
    mistakes = {
        "the norm is 0, since there are no gradients when it is taken: clip after "
        "`backward`, with no `zero_grad` between": 0.0,
        "the norm that comes back is that after clipping: return the one before, "
        "which shows how wild the step was": min(max_norm, true_norm),
        "the norm is that of the first parameter group alone: take it over "
        "`model.parameters()`": norms[::2].norm(),
        one_by_one: norms[-1],
        one_by_one + ", not their sum": norms.sum(),
        one_by_one + ", not the largest": norms.max(),
    }
    require_value("the norm that comes back", norm, true_norm, mistakes, tolerance=1e-3)
    require(
        isinstance(norm, float),
        f"the norm should come back as a float, not {type(norm).__name__}: `.item()` "
        "gives the number",
    )


def _require_move(moved, max_norm, gradient, pieces):
    """The step, divided by the learning rate, is the clipped gradient."""
    by_value = gradient.clamp(-max_norm, max_norm)
    by_parameter = torch.cat([_clipped(piece, max_norm) for piece in pieces])
    first = _clipped(torch.cat(pieces[::2]), max_norm)
    first_group = torch.cat([first, *pieces[1::2]])  # its length is what counts
    require_value(
        "the length of the step divided by the learning rate",
        moved.norm(),
        gradient.norm().clamp(max=max_norm),
        {
            "the step is not clipped: clip between `backward` and `step`, not after "
            "the step and not before the gradients are there": gradient.norm(),
            "a gradient that is short enough is stretched: scale down only where the "
            "norm is above `max_norm`": max_norm,
            "each value is clipped on its own: clip the norm over all parameters": (
                by_value.norm()
            ),
            "each parameter is clipped on its own: one norm and one factor for all "
            "keep the direction of the step": by_parameter.norm(),
            "only the first parameter group is clipped: clip `model.parameters()`": (
                first_group.norm()
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


def _clipped(gradient, max_norm):
    return gradient * (max_norm / gradient.norm()).clamp(max=1.0)
