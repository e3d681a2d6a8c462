"""Checks of the exercises of lesson 04 on memory: copied runs, a memoriser's floor."""

import math
from collections import Counter

import torch

from llm_helpers.checks.verdict import check, require, require_value

RUNS = [  # sample, windows, longest run, what a common mistake gives, its sentence
    (
        [1, 2, 3],
        [[1, 2, 3, 4]],
        3,
        2,
        "a token at an end of the run is left out: a run may begin with the first "
        "token and end with the last",
    ),
    (
        [3, 4, 5, 50, 51],
        [[1, 2, 3, 4, 5, 6]],
        3,
        0,
        "a run is found only at the same place in both: it may stand anywhere",
    ),
    (
        [50, 51, 52, 53, 3, 4, 5],
        [[1, 2, 3, 4, 5, 6]],
        3,
        0,
        "a run is found only where the sample begins: it may stand anywhere in both",
    ),
    (
        [4, 5, 6, 7, 8, 9],
        [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]],
        3,
        6,
        "a run goes on from the end of one window into the next: nobody has read these "
        "side by side, so look into each window alone",
    ),
    (
        [4, 5, 6, 7, 1],
        [[1, 2, 3, 4], [4, 5, 9, 9], [5, 6, 7, 9]],
        3,
        4,
        "a run is put together from two windows: set its length back to 0 at each new "
        "window",
    ),
    (
        [1, 50, 2, 51, 3],
        [[1, 2, 3, 4]],
        1,
        3,
        "tokens are counted that do not stand side by side: a run has no gaps in it",
    ),
    (
        [1, 50, 3, 51],
        [[1, 2, 3, 4]],
        1,
        2,
        "tokens are counted that do not stand side by side: a run has no gaps in it",
    ),
    (
        [50, 9, 10, 11, 12],
        [[7, 8, 9, 10, 11, 12]],
        4,
        3,
        "the last token of the sample or of a window is left out: a run may end there",
    ),
    (
        [1, 2, 3, 50],
        [[1, 9, 1, 2, 3, 9]],
        3,
        2,
        "only the first place where a token stands is tried: the run may be at a later "
        "one",
    ),
    (
        [1, 2, 3],
        [[2, 3, 9, 1, 2]],
        2,
        3,
        "tokens are looked up one by one or in pairs: the whole run must stand there "
        "in one piece and in its order",
    ),
    (
        [1, 2],
        [[2, 1]],
        1,
        2,
        "tokens are looked up one by one: the whole run must stand there in one piece "
        "and in its order",
    ),
    (
        [7, 7, 8],
        [[7, 7, 7, 8, 9]],
        3,
        2,
        "after a mismatch the search goes on too far ahead: a longer run may begin "
        "inside the piece that was just compared",
    ),
    (
        [1, 2],
        [[11, 2, 5]],
        1,
        2,
        "tokens are compared as text, and `1 2` is found in `11 2`: compare numbers",
    ),
    (
        [1, 2, 50, 3, 4, 5],
        [[1, 2, 9, 9, 9], [3, 4, 5, 9, 9]],
        3,
        2,
        "the first run that is found comes back: go on and keep the longest",
    ),
    ([50, 51, 52], [[1, 2, 3]], 0, 1, "a sample without any token in common gives 0"),
    ([3], [[1, 2, 3]], 1, 0, "a sample of one token can be found too"),
    ([5, 6], [[5, 6, 5, 6]], 2, 4, "the run is longer than the sample itself"),
]


@check
def longest_run(answer):
    """The samples, each with what a common mistake would return, are in a list."""
    for sample, windows, expected, wrong, sentence in RUNS:
        given = torch.tensor(sample), torch.tensor(windows)
        length = answer(*given)
        require(
            given[0].tolist() == sample and given[1].tolist() == windows,
            "the tokens that were given are changed: work on copies",
        )
        require(
            not isinstance(length, tuple | list),
            "the run itself comes back: return its length",
        )
        require_value(
            f"the longest run of the sample {sample} in the windows {windows}",
            length,
            expected,
            {sentence: wrong},
        )


@check
def memory_floor(answer):
    """Two windows are equal, one is alone with its first token, and the others part
    late; so counting too little or too much of what came before changes the loss."""
    rows = [[9, 1, 2, 3], [9, 1, 2, 3], [9, 1, 4, 3], [9, 5, 2, 6], [8, 1, 2, 7]]
    rows += [[8, 2, 5, 3], [3, 1, 2, 6]]
    right = _paid(rows, lambda row, t: tuple(row[:t]))
    num_windows, distinct = len(rows), len({tuple(row) for row in rows})
    given = torch.tensor(rows)
    loss = answer(given)
    require(given.tolist() == rows, "`windows` is changed: work on a copy")
    require_value(
        "the floor of the seven windows in the check",
        loss,
        right,
        {
            "the sum is never divided by the targets of a window: that is nats per "
            "window, not per token": right * 3,
            "the mean is over L tokens of a window: the first is given, so there are "
            "L - 1 targets": right * 3 / 4,
            "the sum over all windows is not divided by their number": (
                right * num_windows
            ),
            "the sum over all targets is not divided by their number": (
                right * 3 * num_windows
            ),
            "these are bits, not nats: take the natural logarithm": right / math.log(2),
            "the sign is missing: logarithms of probabilities are negative": -right,
            **_wrong_counts(rows, num_windows, distinct),
        },
    )
    _require_simple_floors(answer)


def _wrong_counts(rows, num_windows, distinct):
    """What mistakes in finding the windows that fit would give, by sentence."""
    unique = [list(row) for row in dict.fromkeys(map(tuple, rows))]
    given_nothing = _paid(rows, lambda row, t: tuple(row[:t]), first=0)
    return {
        "this is ln W for each window: so much it is only where all windows differ, "
        "and all begin with the same token": (math.log(num_windows) / 3),
        "this is the logarithm of the number of different windows: one that stands "
        "there twice is likelier, and first tokens are given": (math.log(distinct) / 3),
        "the first token is charged for: it is given, so only windows that begin with "
        "it come into question": given_nothing * 4 / 3,
        "the first token is charged for, and counted as a target: it is given": (
            given_nothing
        ),
        "equal windows are counted once: each counts as often as it stands there": (
            _paid(unique, lambda row, t: tuple(row[:t]))
        ),
        "equal windows are told apart: nobody can, and nobody need": sum(
            math.log([r[0] for r in rows].count(row[0])) for row in rows
        )
        / num_windows
        / 3,
        "only the token before is looked at: the model remembers all t tokens that it "
        "has read": _paid(rows, lambda row, t: row[t - 1]),
        "only the token before and its place are looked at: the model remembers all t "
        "tokens that it has read": _paid(rows, lambda row, t: (t, row[t - 1])),
        "what came before is not looked at: only windows that begin with the tokens "
        "read so far fit": _paid(rows, lambda row, t: t),
        "the shares are those among all windows: divide by the number of windows that "
        "fit what has been read": _paid_of_all(rows),
    }


def _paid(rows, context, first=1):
    """Mean of -ln(share of a token among those that follow the same context)."""
    places = [(row, t) for row in rows for t in range(first, len(row))]
    before = Counter(context(row, t) for row, t in places)
    after = Counter((context(row, t), row[t]) for row, t in places)
    nats = [
        math.log(before[context(row, t)] / after[context(row, t), row[t]])
        for row, t in places
    ]
    return sum(nats) / len(nats)


def _paid_of_all(rows):
    """Mean of -ln(windows that begin with t + 1 tokens / all windows)."""
    places = [(row, t) for row in rows for t in range(1, len(row))]
    fits = Counter(tuple(row[: t + 1]) for row, t in places)
    nats = [math.log(len(rows) / fits[tuple(row[: t + 1])]) for row, t in places]
    return sum(nats) / len(nats)


def _require_simple_floors(answer):
    cases = [
        ("a single window", [[1, 2, 3]], 0.0),
        ("three equal windows", [[1, 2, 3]] * 3, 0.0),
        ("windows that differ in their first tokens only", [[1, 5], [2, 5]], 0.0),
        ("two windows of two tokens that differ in the last", [[1, 5], [1, 6]], 0.6931),
        ("windows with a token 0", [[0, 0, 1], [0, 0, 0]], 0.6931 / 2),
    ]
    for what, rows, expected in cases:
        loss = answer(torch.tensor(rows))
        require_value(f"the floor of {what}", loss, expected, {}, tolerance=1e-4)
