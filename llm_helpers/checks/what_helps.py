"""Checks of the exercises of lesson 05; those of early stopping and of the split."""

import math
import operator
from itertools import pairwise

import torch

from llm_helpers.checks.verdict import check, require, require_value
from llm_helpers.checks.what_helps_draws import Dropout, require_pair
from llm_helpers.checks.what_helps_numbers import (
    adamw_step,
    paired_difference,
    power_law,
)
from llm_helpers.checks.what_helps_windows import RandomWindows

__all__ = [
    "Dropout",
    "RandomWindows",
    "adamw_step",
    "paired_difference",
    "power_law",
    "split_starts",
    "stop_early",
]


@check
def stop_early(answer):
    """Short runs; the first is made so that each common mistake ends it elsewhere."""
    up_and_down = [3.0, 2.5, 2.6, 2.7, 2.4, 2.5, 2.45, 2.44, 2.6, 2.0]
    _require_stop(answer, [*up_and_down, 2.1, 2.2, 2.3, 2.4], patience=3)
    _require_stop(answer, [2.0, 1.5, 1.5, 1.7, 1.4, 1.3], patience=2)
    _require_stop(answer, [3.0, 2.0, 1.0], patience=2)
    _require_stop(answer, [2.0, 2.1, 1.0], patience=1)
    _require_stop(answer, [1.0, 1.1, 1.2, 1.3, 0.5], patience=3)
    _require_stop(answer, [2.0], patience=3)
    _require_stop(answer, [2.0, 1.99999, 2.1, 2.2], patience=2)
    _require_stop(answer, [3000.0, 2000.0, 2500.0, 2600.0], patience=2)


def _require_stop(answer, losses, patience):
    given = list(losses)
    pair = answer(given, patience)
    require(
        pair is not None,
        f"nothing comes back for the losses {losses} with patience {patience}: where "
        "the rule never ends the run, it makes all evaluations",
    )
    require_pair(pair, "(kept, last)")
    require(given == losses, "the list of losses is changed: only look at it")
    require_value(
        f"(kept, last) for the losses {losses} with patience {patience}",
        torch.tensor(_positions(pair, losses)),
        _stop(losses, patience),
        _wrong_stops(losses, patience) | _WRONG_FOR_SIZE.get(tuple(losses), {}),
    )


def _positions(pair, losses):
    try:
        return [operator.index(number) for number in pair]
    except TypeError:
        are_losses = any(number is not None and number in losses for number in pair)
        require(
            not are_losses,
            "losses come back: return positions, not losses",
        )
        require(
            all(number is not None for number in pair) or min(losses) < 100,
            f"{_START}start with the first loss, or with infinity",
        )
        require(False, f"two positions in the list should come back, not {pair!r}")


_START = "the lowest loss so far starts at a number: "
_WRONG_FOR_SIZE = {  # for runs in which only the size of losses matters
    (2.0, 1.99999, 2.1, 2.2): {
        "a small gain is not counted: every loss below the lowest so far counts": (
            torch.tensor([0, 2])
        ),
    },
    (3000.0, 2000.0, 2500.0, 2600.0): {
        f"{_START}start with the first loss, or with infinity": torch.tensor([0, 1]),
        f"{_START}a loss may be higher, so start with the first loss, or with "
        "infinity": torch.tensor([0, 2]),
    },
}


def _wrong_stops(losses, patience):
    """For each sentence what its mistake gives, where it makes a difference."""
    kept, last = _stop(losses, patience).tolist()
    lowest_of_all = losses.index(min(losses))
    tied = [i for i in range(last + 1) if losses[i] == losses[kept]]
    ends = {
        "the kept evaluation lies beyond the end of the run: take the lowest of those "
        "that the run has made": (lowest_of_all, last),
        "the last evaluation is kept: keep the one with the lowest loss, `patience` "
        "evaluations before": (last, last),
        "the two numbers are swapped: first the kept evaluation, then the last": (
            (last, kept)
        ),
        "evaluations are counted from 1: positions in a list begin at 0": (
            (kept + 1, last + 1)
        ),
        "the count is never set back: only evaluations in a row count, so a new lowest "
        "loss starts it anew": _stop(losses, patience, reset=False),
        "a loss equal to the lowest counts as better: the run must come below it": (
            _stop(losses, patience, ties=True)
        ),
        "of equal losses the later one is kept: it is not below the first": (
            (tied[-1], last)
        ),
        "the run ends one evaluation too late: the last one is that where the count "
        "reaches `patience`": _stop(losses, patience + 1),
        "the run ends one evaluation too early: it may make `patience` bad evaluations "
        "in a row, and the last of them ends it": _stop(losses, patience - 1),
        "each loss is compared with the one before: compare with the lowest so far": (
            _stop(losses, patience, compare_with_previous=True)
        ),
        "the run never ends: leave the loop when the count reaches `patience`": (
            (lowest_of_all, len(losses) - 1)
        ),
    }
    return {sentence: torch.as_tensor(end) for sentence, end in ends.items()}


def _stop(losses, patience, compare_with_previous=False, reset=True, ties=False):
    """What `stop_early` should return, or returns with one of the common mistakes."""
    kept, count, last = 0, 0, 0
    for last in range(1, len(losses)):
        rival = losses[last - 1] if compare_with_previous else losses[kept]
        is_better = losses[last] < rival or (ties and losses[last] == rival)
        if is_better and losses[last] <= losses[kept]:
            kept = last
        count = count + 1 if not is_better else 0 if reset else count
        if count >= patience and not is_better:
            break
    return torch.tensor([kept, last])


@check
def split_starts(answer):
    for num_tokens, context_len, stride, fraction in (
        (40, 4, 1, 0.25),
        (104, 8, 3, 0.2),
        (57, 5, 10, 0.25),
        (30, 5, 5, 0.2),
        (30, 8, 4, 0.2),
    ):
        pair = answer(num_tokens, context_len, stride, val_fraction=fraction)
        require_pair(pair, "(train, val)")
        train, val = ([int(start) for start in starts] for starts in pair)
        cut = round(num_tokens * (1 - fraction))
        case = f"for {num_tokens} tokens, context {context_len} and stride {stride}"
        if train and val:
            _require_cut(train, val, cut, num_tokens, fraction)
        _require_apart(train, val, cut, num_tokens, context_len)
        for name, starts, begin, end in (
            ("training", train, 0, cut),
            ("validation", val, cut, num_tokens),
        ):
            expected = list(range(begin, end - context_len, stride))
            _require_starts(f"{name} windows", case, starts, expected, stride)


def _require_cut(train, val, cut, num_tokens, fraction):
    """The first validation start tells where the answer has cut the stream."""
    first, exact = val[0], num_tokens * (1 - fraction)
    require(
        train[0] == 0 or first != 0,
        "the two parts are swapped: training comes first, before the cut",
    )
    require(
        first != 0 or max(val) >= num_tokens - cut,
        "the validation windows are counted from the beginning of its part, not of the "
        "stream: add `cut`",
    )
    require(
        first == cut or first != round(num_tokens * fraction),
        f"the cut is at {first}, and should be at {cut}: `val_fraction` is the "
        "validation's share",
    )
    require(
        first == cut or first != math.floor(exact),
        f"the cut is at {first}, and should be at {cut}: take `round`, not `int`",
    )
    require(
        first == cut or first != math.ceil(exact),
        f"the cut is at {first}, and should be at {cut}: take `round` of "
        "num_tokens * (1 - val_fraction)",
    )


def _require_apart(train, val, cut, num_tokens, context_len):
    """No window reaches into the other part, or over the end of the stream."""
    train_end = max(train, default=0) + context_len  # the place of the last target
    val_end = max(val, default=0) + context_len
    require(
        min(val, default=cut) >= cut,
        f"a validation window begins at {min(val, default=cut)}, before the cut at "
        f"{cut}: first cut the tokens in two, then make windows of each part",
    )
    require(
        train_end != cut,
        "the last target of a training window is the first token of validation: a "
        "window takes up context_len + 1 tokens",
    )
    require(
        train_end < cut,
        f"a training window reaches to token {train_end}, but validation begins at "
        f"{cut}: the two share tokens",
    )
    require(
        val_end < num_tokens,
        f"a validation window's last target would be token {val_end}, but the stream "
        f"of {num_tokens} tokens ends with token {num_tokens - 1}",
    )


def _require_starts(name, case, starts, expected, stride):
    steps = {b - a for a, b in pairwise(starts)}
    require(
        steps <= {stride},
        f"the {name} begin {sorted(steps)[:4]} tokens after each other {case}: the "
        "next begins `stride` tokens later",
    )
    require(
        starts[:1] == expected[:1] or not starts,
        f"the first of the {name} begins at {starts[:1]} {case}, not at "
        f"{expected[:1]}, the first token of its part",
    )
    require(
        len(starts) >= len(expected),
        f"the last of the {name} that fit is missing {case}: it begins at "
        f"{expected[-1:]}",
    )
    require(
        starts == expected, f"the {name} begin at {starts} {case}, not at {expected}"
    )
