"""Checks of the exercises of lesson 05 that compute: seeds, AdamW, a power law."""

import math

import torch
from torch import nn

from llm_helpers.checks.verdict import check, require, require_value
from llm_helpers.checks.what_helps_draws import require_pair


@check
def paired_difference(answer):
    losses, others = [1.32, 1.45, 1.20, 1.35], [1.40, 1.50, 1.31, 1.33]
    pair = answer(losses, others)
    require_pair(pair, "(mean, standard error)")
    mean, error = pair
    differences = torch.tensor(losses).double() - torch.tensor(others).double()
    require_value(
        "the mean difference",
        mean,
        differences.mean(),
        {
            "the sign is turned round: subtract `other_losses` from `losses`": (
                -differences.mean()
            ),
            "the mean is of absolute differences: a cure that helps has a negative "
            "one": differences.abs().mean(),
            "the differences are summed up and never divided": differences.sum(),
            "the sum is divided by n - 1: that is for the variance, a mean is divided "
            "by n": differences.sum() / 3,
        },
    )
    require_value(
        "the standard error",
        error,
        differences.std() / 2,
        _wrong_errors(losses, others),
    )
    mean, error = answer([1.5, 1.0, 1.75], [1.25, 1.25, 1.5])
    require_value("the mean difference of three pairs", mean, 0.25 / 3, {})
    require_value("the standard error of three pairs", error, 0.5 / 3, {})


def _wrong_errors(losses, others):
    one, other = torch.tensor(losses).double(), torch.tensor(others).double()
    differences = one - other
    unpaired = (one.var() + other.var()).div(4).sqrt()
    return {
        "this is the standard deviation of one difference: divide by the square root "
        "of n for that of the mean": differences.std(),
        "the variance is divided by n: the mean is estimated from the same numbers, "
        "so divide by n - 1": differences.std(correction=0) / 2,
        "this is the squared standard error: take the square root": (
            differences.var() / 4
        ),
        "the standard deviation is divided by n: divide by its square root": (
            differences.std() / 4
        ),
        "this is the standard deviation of one difference, and with n in place of "
        "n - 1: estimate with n - 1, then divide by the square root of n": (
            differences.std(correction=0)
        ),
        "the pairs are torn apart: take the scatter of the differences, not those of "
        "the two lists": unpaired,
        "the square root of n - 1 divides twice: n - 1 is for the variance, and the "
        "mean of n divides by the square root of n": differences.std() / 3**0.5,
    }


@check
def adamw_step(answer):
    expected = _three_steps(_true_step)
    require_value(
        "the weights after three steps",
        _three_steps(answer),
        expected,
        {
            sentence: _three_steps(wrong_step)
            for sentence, wrong_step in _WRONG_STEPS.items()
        },
    )
    adam, weights = _adam_with_two_groups()
    idle = weights[0].detach().clone()
    weights[1].grad = torch.ones_like(weights[1])
    answer(adam, 3.0)
    require(
        torch.equal(weights[0], idle),
        "a parameter without a gradient has moved: where `.grad` is None, leave it as "
        "it is",
    )


def _adam_with_two_groups():
    values = ([1.0, -2.0], [[1.0, 1.0]], [-1.0, 3.0])  # the second has two axes
    weights = [nn.Parameter(torch.tensor(pair)) for pair in values]
    groups = [{"params": weights[:2], "lr": 0.1}, {"params": weights[2:], "lr": 0.02}]
    return torch.optim.Adam(groups, lr=0.5), weights


def _three_steps(step):
    """The weights after three steps, between which a schedule lowers the rates."""
    adam, weights = _adam_with_two_groups()
    for number in range(3):
        for parameter in weights:
            gradient = torch.tensor([0.3, -0.1]) * (number + 1) ** 2
            parameter.grad = gradient.view_as(parameter)
        step(adam, 3.0)
        for group in adam.param_groups:
            group["lr"] *= 0.5
    return torch.cat([parameter.detach().flatten() for parameter in weights])


def _step_that_shrinks_by(factor, adam_goes_on=True):
    """One step like AdamW's: weights times factor(lr, decay, adam), then Adam's."""

    def step(adam, decay):
        for group in adam.param_groups:
            for parameter in group["params"]:
                parameter.data.mul_(factor(group["lr"], decay, adam))
        if adam_goes_on:
            adam.step()

    return step


_true_step = _step_that_shrinks_by(lambda lr, decay, _: 1 - lr * decay)
_decay_alone = _step_that_shrinks_by(lambda lr, decay, _: 1 - lr * decay, False)


def _decay_after_the_step(adam, decay):
    adam.step()
    _decay_alone(adam, decay)


def _decay_in_the_gradient(adam, decay):
    for group in adam.param_groups:
        for parameter in group["params"]:
            parameter.grad = parameter.grad + decay * parameter.detach()
    adam.step()


def _decay_of_matrices_alone(adam, decay):
    for group in adam.param_groups:
        for parameter in group["params"]:
            if parameter.ndim > 1:
                parameter.data.mul_(1 - group["lr"] * decay)
    adam.step()


def _new_optimizer(adam, decay):
    torch.optim.AdamW(adam.param_groups, weight_decay=decay).step()


_WRONG_STEPS = {
    "the decay goes through the gradient, where Adam divides it again: shrink the "
    "weights themselves and leave `.grad` and `weight_decay` alone": (
        _decay_in_the_gradient
    ),
    "the weights are not shrunk: multiply them in place (a new tensor is not the "
    "one that the optimizer holds)": _step_that_shrinks_by(lambda *_: 1.0),
    "only the decay moves the weights: call `adam.step()` after it, with the gradients "
    "as they are": _decay_alone,
    "the learning rate is left out of the decay: shrink by 1 - lr * decay": (
        _step_that_shrinks_by(lambda lr, decay, adam: 1 - decay)
    ),
    "weights of one axis are left out: all weights decay, whatever their shape": (
        _decay_of_matrices_alone
    ),
    "the weights are multiplied by lr * decay: that is what they lose, so multiply by "
    "1 minus it": _step_that_shrinks_by(lambda lr, decay, adam: lr * decay),
    "the weights grow: multiply by 1 minus lr * decay, not plus": (
        _step_that_shrinks_by(lambda lr, decay, adam: 1 + lr * decay)
    ),
    "the shrinking comes after Adam's step, and shrinks that too: shrink first": (
        _decay_after_the_step
    ),
    "the rate of the first group is used for all: each group has its own": (
        _step_that_shrinks_by(
            lambda lr, decay, adam: 1 - adam.param_groups[0]["lr"] * decay
        )
    ),
    "the rate is that with which the optimizer was made: a schedule changes it, so "
    'read `group["lr"]`': (
        _step_that_shrinks_by(lambda lr, decay, adam: 1 - adam.defaults["lr"] * decay)
    ),
    "Adam's averages begin anew at each step: call the `step` of the optimizer that "
    "you were given": _new_optimizer,
}
"""Each sentence with a step that makes the mistake it names."""


@check
def power_law(answer):
    """First five points on a law, then points that lie around a line."""
    amounts, floor = [100.0, 200.0, 800.0, 1600.0, 6400.0], 0.8
    x = torch.tensor(amounts).double()
    losses = floor + 30 / x**0.7
    pair = answer(list(amounts), losses.tolist(), floor)
    require_pair(pair, "(coefficient, exponent)")
    require_value(
        "(coefficient, exponent) of five points on a law",
        _numbers(pair),
        torch.tensor([30.0, 0.7]),
        _wrong_laws(x, losses, floor),
        tolerance=1e-3,
    )
    left = torch.tensor([3.0, 1.0, 0.9, 0.2, 0.15]).double()
    slope, intercept = _line(x.log(), left.log())
    steep, high = _line(left.log(), x.log())  # of the exchanged axes
    ends = (left[-1] / left[0]).log() / (x[-1] / x[0]).log()
    pair = answer(list(amounts), (floor + left).tolist(), floor)
    require_value(
        "(coefficient, exponent) of points around a line",
        _numbers(pair),
        torch.tensor([intercept.exp(), -slope]),
        {
            "the line goes through the first and the last point only: fit it to all": (
                torch.tensor([left[0] * x[0] ** -ends, -ends])
            ),
            "the axes are exchanged: fit the losses from the amounts": torch.tensor(
                [(-high / steep).exp(), -1 / steep]
            ),
        },
        tolerance=1e-3,
    )


def _numbers(pair):
    try:
        return torch.tensor([float(number) for number in pair])
    except (TypeError, ValueError):
        require(False, f"two numbers should come back, not {pair!r}")


def _line(x, y):
    """(slope, intercept) of the line of least squares."""
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    return slope, y.mean() - slope * x.mean()


def _wrong_laws(x, losses, floor):
    """For each sentence what its mistake gives for five points on 30 / x ** 0.7."""
    ln_30, log_30, ln_10 = math.log(30), math.log10(30), math.log(10)

    def law(across, up):
        slope, intercept = _line(across, up)
        return torch.tensor([intercept.exp(), -slope])

    return {
        "the exponent has the wrong sign: the line falls, and the law divides by the "
        "power": torch.tensor([30, -0.7]),
        "the two numbers are swapped: first the coefficient, then the exponent": (
            torch.tensor([0.7, 30])
        ),
        "the floor is forgotten: what falls as a power is the loss above it": (
            law(x.log(), losses.log())
        ),
        "the floor is added: subtract it": law(x.log(), (losses + floor).log()),
        "the coefficient is still a logarithm: `np.exp` turns it back": (
            torch.tensor([ln_30, 0.7])
        ),
        "the coefficient is still a logarithm: take 10 to its power": (
            torch.tensor([log_30, 0.7])
        ),
        "two kinds of logarithm are mixed: undo `np.log10` with 10 to the power, not "
        "with `np.exp`": torch.tensor([math.exp(log_30), 0.7]),
        "two kinds of logarithm are mixed: undo `np.log` with `np.exp`, not with 10 to "
        "the power": torch.tensor([10**ln_30, 0.7]),
        "the two axes have different logarithms: take the same kind for both": (
            torch.tensor([30, 0.7 * ln_10])
        ),
        "the two axes have different logarithms: take the same for both": (
            torch.tensor([30, 0.7 / ln_10])
        ),
        "only the losses have a logarithm: that fits an exponential, so take the "
        "logarithm of the amounts too": law(x, (losses - floor).log()),
        "only the amounts have a logarithm: take that of the losses above the floor "
        "too": law(x.log(), losses - floor),
    }
