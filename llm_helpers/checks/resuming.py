"""Checks of the exercises of lesson 03 that go on with a run."""

import copy

import torch
from torch.utils.data import DataLoader

from llm_helpers.checks.specimens import (
    small_batch,
    small_model,
    small_windows,
    weights_of,
)
from llm_helpers.checks.verdict import CheckError, check, require, require_value
from llm_helpers.loss import calc_loss_batch


@check
def remaining_batches(answer):
    """An epoch of four batches, stopped after 2, 1, 0 and all; "training" draws too."""
    loader = DataLoader(small_windows(7), 2, shuffle=True)
    states = [torch.get_rng_state()]
    order, draws = [], []
    for inputs, _ in loader:
        order.append(inputs.tolist())
        draws.append(torch.rand(()).item())
        states.append(torch.get_rng_state())
    for num_done in (2, 1, 0, 4):
        torch.manual_seed(999)  # as in a new process
        batches = answer(loader, states[0].clone(), num_done, states[num_done].clone())
        require(batches is not None, "None comes back: is `return` or `yield` missing?")
        rest = [(inputs.tolist(), torch.rand(()).item()) for inputs, _ in batches]
        _require_order([inputs for inputs, _ in rest], order, num_done)
        _require_draws([draw for _, draw in rest], draws, num_done)
        require(
            torch.equal(torch.get_rng_state(), states[4]),
            "with all batches done the generator is not in the state `rng`: the next "
            "epoch, which draws its order from it, would be another",
        )


def _require_order(rest, order, num_done):
    """The batches that came are those after the first `num_done`."""
    if rest == order[num_done:]:
        return
    where = f"with num_done={num_done} of {len(order)} batches"
    too_many = len(rest) - (len(order) - num_done)
    require(
        too_many == 0 or len(rest) < len(order),
        f"{where} all come again: skip those that are done",
    )
    require(too_many != 1, f"{where} one that is done comes again: skip `num_done`")
    require(
        too_many != -1,
        f"{where} one is left out: skip only `num_done`, and do not lose the one at "
        "which you set the generator",
    )
    require(too_many == 0, f"{where} {len(rest)} come, not {len(rest) - too_many}")
    require(
        num_done > 0,
        f"{where} the order is another: if the generator is put to `rng` before the "
        "first batch is asked for, the loader draws its order from the wrong number; "
        "nothing was done, so leave it alone",
    )
    raise CheckError(
        f"{where} the rest comes in another order: the generator must be in the state "
        "`epoch_rng` at `iter(loader)`, and may be moved only after the first batch, "
        "with which the order is drawn"
    )


def _require_draws(drawn, draws, num_done):
    """What the training draws between the batches is what it would have drawn."""
    if drawn == draws[num_done:]:
        return
    where = f"with num_done={num_done} of {len(draws)} batches the training"
    require(
        num_done > 0,
        f"{where} draws other numbers: nothing was done, so there is no later state to "
        "go back to; leave the generator as the loader leaves it",
    )
    raise CheckError(
        f"{where} draws other numbers: skipping is done from `epoch_rng`, and before "
        "the run goes on the generator must be put to `rng`"
    )


@check
def step_length(answer):
    _require_plain_length(answer)
    _require_length_in_groups(answer)


def _require_plain_length(answer):
    """By plain SGD, whose step is known from the gradients."""
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    calc_loss_batch(*small_batch(), model, "cpu").backward()  # left from before
    gradients = [p.grad.flatten().clone() for p in model.parameters()]
    before = weights_of(model)
    length = answer(model, optimizer, *small_batch())
    _require_one_step(before - weights_of(model), 0.5 * torch.cat(gradients))
    require(
        not (isinstance(length, float | torch.Tensor) and length == 0),
        "the distance is zero although the weights have moved: the weights `before` "
        "are the living ones and move along, so copy them",
    )
    require_value(
        "the length of the step",
        length,
        torch.cat(gradients).abs().mean(),
        _wrong_lengths(gradients),
        tolerance=1e-5,
    )
    require(isinstance(length, float), "the length should come back as a float")


def _require_length_in_groups(answer):
    """By AdamW with two groups, in mid-run; both have another rate than the default."""
    model = small_model(dropout=0.1)
    optimizer = _grouped_adamw(model)
    calc_loss_batch(*small_batch(seed=3), model, "cpu").backward()
    optimizer.step()
    gradients = _one_step_gradients(model)
    modes, before = [], weights_of(model)
    watch = model.register_forward_pre_hook(lambda m, _: modes.append(m.training))
    length = answer(model, optimizer, *small_batch())
    watch.remove()
    require(
        all(modes) and all(module.training for module in model.modules()),
        "the model is put in evaluation mode: a training step is made with dropout, so "
        "leave out `eval()`",
    )
    moves = (weights_of(model) - before).abs()
    num_in_first = sum(p.numel() for p in optimizer.param_groups[0]["params"])
    require_value(
        "the length of a step of AdamW with two groups",
        length,
        moves.mean() / 0.02,
        {
            "this is the gradient, not the distance: compare the weights before and "
            "after": gradients.abs().mean(),
            'the learning rate is taken from `optimizer.defaults`: the groups\' `"lr"` '
            "is the one that counts": moves.mean() / 0.5,
            "only the weights of the first parameter group are counted: take those of "
            "all groups, or of the model": moves[:num_in_first].mean() / 0.02,
        },
        tolerance=1e-4,
    )


def _grouped_adamw(model):
    parameters = list(model.parameters())
    groups = [{"params": part, "lr": 0.02} for part in (parameters[:4], parameters[4:])]
    return torch.optim.AdamW(groups, lr=0.5)


def _one_step_gradients(model):
    """What `backward` alone gives, from here, without moving anything."""
    twin = copy.deepcopy(model)
    twin.zero_grad()
    with torch.random.fork_rng(devices=[]):
        calc_loss_batch(*small_batch(), twin, "cpu").backward()
    return torch.cat([p.grad.flatten() for p in twin.parameters()])


def _require_one_step(change, step):
    require(
        change.norm() > 0,
        "no weight has moved: `backward` and then `optimizer.step()` move them",
    )
    require_value(
        "the change of the weights, as a part of one step's,",
        change.norm() / step.norm(),
        torch.tensor(1.0),
        {
            "gradients are not zeroed, or two steps are made: the weights move twice "
            "as far as in one step": 2.0
        },
        tolerance=1e-3,
    )


def _wrong_lengths(gradients):
    """What the common mistakes return, by plain SGD at a rate of 0.5."""
    gradient = torch.cat(gradients)
    right = gradient.abs().mean()
    return {
        "the distance is not divided by the learning rate": 0.5 * right,
        "the distance is multiplied by the learning rate": 0.5**2 * right,
        "the learning rate is taken for 0.001: the optimizer's group knows it": (
            500 * right
        ),
        "a mean over parameters of their means: a small bias counts as much as a "
        "large matrix, so join all numbers first": (
            torch.stack([g.abs().mean() for g in gradients]).mean()
        ),
        "the mean is of signed changes, which cancel out: take `abs()` first": (
            -gradient.mean()
        ),
        "that is the norm over all weights, not the mean distance of one": (
            gradient.norm()
        ),
        "that is the root of the mean square: take the mean of `abs()`": (
            gradient.square().mean().sqrt()
        ),
        "the distances are summed and not averaged": gradient.abs().sum(),
    }
