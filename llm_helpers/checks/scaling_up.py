"""Checks of the exercises of lesson 07: a budget, a learning rate, a step's length.

What is counted, operations and bytes, is in `scaling_up_counts`; the training steps
are in `scaling_up_pieces` (one after another) and `scaling_up_processes` (at once).
"""

import math

import torch

from llm_helpers.checks.scaling_up_counts import (
    as_double,
    bytes_per_process,
    flops_per_token,
)
from llm_helpers.checks.scaling_up_pieces import accumulated_step
from llm_helpers.checks.scaling_up_processes import parallel_step
from llm_helpers.checks.verdict import check, require, require_value

__all__ = [
    "accumulated_step",
    "bytes_per_process",
    "flops_per_token",
    "largest_run",
    "learning_rate",
    "parallel_step",
    "relative_change",
]


@check
def largest_run(answer):
    _require_run(answer, 3, 4e13)
    _require_run(answer, 1 / 24, 1e9)


def _require_run(answer, days, rate):
    """To a relative tolerance: the numbers may have been made whole."""
    parameters, tokens = _as_pair(answer(days, rate))
    operations = days * 86_400 * rate
    right = math.sqrt(operations / 120)
    require(
        not math.isclose(parameters, 20 * right, rel_tol=1e-4),
        "there are 20 parameters for each token where it should be the other way "
        "round: D is 20 * N, and N comes first in the pair",
    )
    for sentence, value in _wrong_sizes(operations).items():
        require(not math.isclose(parameters, value, rel_tol=1e-4), sentence)
    require(
        math.isclose(tokens, 20 * parameters, rel_tol=1e-4),
        f"there are {tokens / parameters:.3g} tokens for each parameter, not 20",
    )
    require(
        math.isclose(parameters, right, rel_tol=1e-4),
        f"{days:.3g} days at {rate:.1e} operations per second pay for {right:.4e} "
        f"parameters, not {parameters:.4e}",
    )


def _as_pair(pair):
    require(
        isinstance(pair, (tuple, list, torch.Tensor)) and len(pair) == 2,
        f"a pair should come back, parameters and tokens, not {pair!r}",
    )
    parameters, tokens = (as_double("each", number).item() for number in pair)
    require(
        parameters > 0 and tokens > 0, "parameters and tokens should both be above zero"
    )
    return parameters, tokens


def _wrong_sizes(operations):
    """For each sentence the number of parameters that this mistake gives."""
    right = math.sqrt(operations / 120)
    return {
        "the square root is missing: twice the parameters want twice the tokens, so "
        "the operations grow with the square of N": operations / 120,
        "the days are counted as hours: a day has 24 of them": right / math.sqrt(24),
        "the days are counted as minutes: a day has 24 * 60 of them": (
            right / math.sqrt(24 * 60)
        ),
        "a day is counted with 24 * 60 seconds: it has 24 * 60 * 60": (
            right / math.sqrt(60)
        ),
        "the days are counted as seconds: the rate is in operations per second": (
            right / math.sqrt(86_400)
        ),
        "the 6 is missing: each parameter and token costs 6 operations": (
            right * math.sqrt(6)
        ),
        "only the forward pass is paid for: with the backward pass it is 6 operations, "
        "not 2, for each parameter and token": right * math.sqrt(3),
        "the tokens are not paid for: the operations are 6 * N * D, and D is 20 * N": (
            right * math.sqrt(20)
        ),
    }


@check
def learning_rate(answer):
    """Warm-up, cosine and floor one after another, then a run without warm-up."""
    peak, floor = 0.8, 0.1
    _require_warmup(answer, peak, floor)
    _require_cosine(answer, peak, floor)
    at_the_end = [_rate(answer, step, peak, floor, 10, 50) for step in (50, 51, 90)]
    require_value(
        "the rates at steps 50, 51 and 90 of 50",
        at_the_end,
        torch.tensor([floor] * 3),
        {
            "the rate rises again after the end, as a cosine does: keep it at the "
            "floor from `total_steps` on": _cosine(peak, floor, (40, 41, 80), 40),
            "the rate is zero after the end, not `floor`": [0.0] * 3,
        },
    )
    without = [_rate(answer, step, peak, floor, 0, 50) for step in (0, 25, 50)]
    require_value(
        "the rates at steps 0, 25 and 50 without warm-up",
        without,
        torch.tensor([0.8, 0.45, 0.1]),
        {"without warm-up the first step is still not at the peak": [0, 0.45, 0.1]},
    )


def _rate(answer, *arguments):
    return as_double("the learning rate", answer(*arguments)).item()


def _cosine(peak, floor, steps, length):
    falling = [(1 + math.cos(math.pi * step / length)) / 2 for step in steps]
    return torch.tensor([floor + (peak - floor) * share for share in falling])


def _require_warmup(answer, peak, floor):
    warmup = [_rate(answer, step, peak, floor, 10, 50) for step in range(10)]
    require_value(
        "the rates of 10 steps of warm-up",
        warmup,
        torch.tensor([peak * (step + 1) / 10 for step in range(10)]),
        {
            "the first step is made at a rate of zero and the last below the peak: of "
            "the equal parts step 0 is the first": [peak * s / 10 for s in range(10)],
            "the first step is made at a rate of zero: the ten steps are ten equal "
            "parts, of which step 0 is the first": [peak * s / 9 for s in range(10)],
            "the warm-up is one step too long: its last step, `warmup_steps - 1`, is "
            "made at the peak": [peak * (s + 1) / 11 for s in range(10)],
            "there is no warm-up: the rate rises in a line while `step` is below "
            "`warmup_steps`": [peak] * 10,
            "the cosine is at work from the first step on: it begins after the "
            "warm-up": _cosine(peak, floor, range(10), 50),
            "the cosine is at work during the warm-up: while `step` is below "
            "`warmup_steps` the rate rises in a line": (
                _cosine(peak, floor, range(-10, 0), 40)
            ),
            "the warm-up rises to 1, not to the peak: multiply by `peak`": [
                (step + 1) / 10 for step in range(10)
            ],
            "the warm-up begins at the floor: it rises from zero in equal parts": [
                floor + (peak - floor) * (step + 1) / 10 for step in range(10)
            ],
        },
    )


def _require_cosine(answer, peak, floor):
    steps = (10, 11, 20, 30, 49)
    falling = [_rate(answer, step, peak, floor, 10, 50) for step in steps]
    since = [step - 10 for step in steps]
    right = _cosine(peak, floor, since, 40)
    require_value(
        f"the rates at steps {', '.join(map(str, steps))} of 50, after 10 of warm-up,",
        falling,
        right,
        {
            "the cosine is counted from step 0: it begins where the warm-up ends, so "
            "subtract `warmup_steps`": _cosine(peak, floor, steps, 50),
            "the cosine is too slow: it has `total_steps - warmup_steps` steps": (
                _cosine(peak, floor, since, 50)
            ),
            "the warm-up is one step too long and goes above the peak: step "
            "`warmup_steps` is the cosine's first": [
                peak * 11 / 10,
                *right[1:].tolist(),
            ],
            "the cosine does not begin at the peak: count from `warmup_steps`": (
                _cosine(peak, floor, steps, 40)
            ),
            "the cosine begins one step early: step `warmup_steps` is at the peak": (
                _cosine(peak, floor, [step + 1 for step in since], 40)
            ),
            "the cosine arrives one step early: at `total_steps`, not before": (
                _cosine(peak, floor, since, 39)
            ),
            "the cosine goes through a whole period and comes back up: half a period "
            "is pi": _cosine(peak, floor, [2 * step for step in since], 40),
            "the rate falls in a straight line: it should follow half a cosine": (
                floor + (peak - floor) * (1 - torch.tensor(since) / 40)
            ),
            "the floor is added on top of the peak: what falls is `peak - floor`": (
                floor + _cosine(peak, 0.0, since, 40)
            ),
            "the floor is left out until the end: the cosine falls from peak to "
            "floor, not to zero": _cosine(peak, 0.0, since, 40),
            "the rate is cut off at the floor: the cosine itself arrives there": (
                _cosine(peak, 0.0, since, 40).clamp(min=floor)
            ),
            "`floor` is a learning rate, not a share of the peak": (
                _cosine(peak, peak * floor, since, 40)
            ),
            "the cosine rises: its share is (1 + cos) / 2, from 1 to 0": (
                peak + floor - right
            ),
        },
    )


@check
def relative_change(answer):
    """A turn without growth first; then tensors of very different lengths."""
    before = [torch.tensor([[3.0, 4.0]]), torch.tensor([12.0, 5.0])]
    turned = [torch.tensor([[4.0, -3.0]]), torch.tensor([5.0, 12.0])]
    apart = [torch.tensor([[3.0, 5.0]]), torch.tensor([24.0, 5.0])]
    for after in (turned, apart):
        given = [[t.clone() for t in tensors] for tensors in (before, after)]
        change = answer(*given)
        require(
            all(map(torch.equal, [*given[0], *given[1]], [*before, *after])),
            "the tensors that were given are changed: make new ones",
        )
        require_value(
            "the relative change", change, *_right_and_wrong_changes(before, after)
        )


def _right_and_wrong_changes(before, after):
    old, new = (torch.cat([t.flatten() for t in ts]) for ts in (before, after))
    right = (new - old).norm() / old.norm()
    ratios = [(a - b).norm() / b.norm() for b, a in zip(before, after)]
    lengths = [(a - b).norm() for b, a in zip(before, after)]
    return right, {
        "the lengths are subtracted, not the vectors: weights can turn without "
        "growing": (new.norm() - old.norm()) / old.norm(),
        "only the first tensor is looked at: join all tensors to one vector": ratios[0],
        "only the last tensor is looked at: join all tensors to one vector": ratios[-1],
        "the tensors' own ratios are averaged: join all tensors to one vector": (
            sum(ratios) / len(ratios)
        ),
        "the tensors' own ratios are added up: join all tensors to one vector": (
            sum(ratios)
        ),
        "the lengths of the tensors are added up: square them before, and take the "
        "root after": sum(lengths) / sum(t.norm() for t in before),
        "the change is divided by the length after the step": (
            (new - old).norm() / new.norm()
        ),
        "the change is not divided by the length before the step": (new - old).norm(),
        "the root is missing: length is the root of the sum of squares": right**2,
        "absolute values are added up: length is the root of the sum of squares": (
            (new - old).abs().sum() / old.abs().sum()
        ),
        "each number is divided on its own: divide one length by the other": (
            ((new - old) / old).norm()
        ),
    }
