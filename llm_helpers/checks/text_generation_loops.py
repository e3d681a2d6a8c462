"""Check of the exercise of lesson 06 that finds the loop in which a text ends."""

import operator

from llm_helpers.checks.verdict import check, require


@check
def find_loop(answer):
    """Short texts, each made so that some mistake finds another loop in it."""
    for ids, context_len in (
        ([1, 2, 9, 1, 2, 8, 3, 4, 5, 6, 3, 4, 5], 2),
        ([1, 1, 2, 6, 1, 2, 7, 8, 1, 2, 7, 4], 3),
        ([5, 1, 2, 3, 1, 2, 3, 1, 2, 3], 2),
        ([9, 7, 7, 7, 7, 7], 3),
        ([1, 2, 1, 3, 4, 1, 2, 9], 2),
        ([1, 2, 3, 2, 1], 2),
        ([1, 12, 5, 11, 2], 2),
        ([4, 1, 2, 9, 1, 2], 2),
        ([1, 2, 3, 4, 3, 4, 1, 2], 2),
        ([6, 8, 6, 8, 6], 3),
        ([3, 5, 3], 1),
        ([4, 4], 3),
        ([], 2),
    ):
        given = list(ids)
        found = answer(given, context_len)
        require(given == ids, "the list of ids is changed: only look at it")
        _require_loop(found, ids, context_len)


def _require_loop(found, ids, context_len):
    case = f"for {ids} with windows of {context_len}"
    right = _loop(ids, context_len)
    pair = _numbers(found, case)
    if pair == right:
        return
    if right is None:
        too_soon = _loop(ids, 1)
        require(
            pair != too_soon,
            f"a single token that comes again is taken for a loop {case}: the whole "
            "window must be the same",
        )
        require(
            pair != _loop(ids, context_len, key=lambda w: "".join(map(str, w))),
            f"{pair} is found {case}, where two windows differ and only their digits "
            "in a row are the same: compare the ids",
        )
        require(False, f"{pair} is found {case}, but no window comes twice: None")
    may_be_missed = (
        _loop(ids[:-1], context_len),
        _loop(ids, context_len, apart=context_len),
    )
    require(
        pair is not None or None in may_be_missed,
        f"no loop is found {case}, where the answer is {right}",
    )
    for sentence, wrong in _wrong_loops(ids, context_len).items():
        require(pair != wrong, f"{sentence} ({case} the answer is {right})")
    require(False, f"{pair} is found {case}, not {right}")


def _wrong_loops(ids, context_len):
    """For each sentence the pair that its mistake gives, where there is a loop."""
    start, period = _loop(ids, context_len)
    starts = range(len(ids) - context_len + 1)
    windows = [ids[s : s + context_len] for s in starts]
    earliest = min(s for s in starts if windows.count(windows[s]) > 1)
    again = windows.index(windows[earliest], earliest + 1)
    last = max(s for s in starts if windows[s] == windows[start])
    return {
        "`start` is where the window comes again: return where it was first": (
            (start + period, period)
        ),
        "the second number is the place where the window comes again: return how many "
        "tokens later that is": (start, start + period),
        "the two numbers are swapped: first the start, then the period": (
            (period, start)
        ),
        "the period is counted from the window's end: count from its beginning to its "
        "next beginning": (start, period - context_len),
        "places are counted from 1: positions in a list begin at 0": (
            (start + 1, period)
        ),
        "a window is compared with its last occurrence: take the first time it comes "
        "again": (start, last - start),
        "the loop is not the first to close: of all windows that come again, take the "
        "one that does so first": (earliest, again - earliest),
        "a single token that comes again is taken for a loop: the whole window must be "
        "the same": _loop(ids, 1),
        "the windows are one token too short: a window has `context_len` tokens": (
            _loop(ids, max(context_len - 1, 1))
        ),
        "the last window is left out: it begins `context_len` tokens before the end": (
            _loop(ids[:-1], context_len)
        ),
        "windows that overlap are not compared: a loop may be shorter than a window": (
            _loop(ids, context_len, apart=context_len)
        ),
        "the windows are one token too long: a window has `context_len` tokens": (
            _loop(ids, context_len + 1)
        ),
    }


def _loop(ids, context_len, apart=1, key=tuple):
    """What `find_loop` should return; or with windows at least `apart` tokens apart."""
    windows = [key(ids[s : s + context_len]) for s in range(len(ids) - context_len + 1)]
    for place, window in enumerate(windows):
        before = windows[: max(place - apart + 1, 0)]
        if window in before:
            return before.index(window), place - before.index(window)
    return None


def _numbers(found, case):
    """The pair as two ints, or None."""
    if found is None:
        return None
    require(
        isinstance(found, (tuple, list)) and len(found) == 2,
        f"(start, period) or None should come back {case}, not {found!r}",
    )
    try:
        return tuple(operator.index(number) for number in found)
    except (TypeError, ValueError):
        require(False, f"(start, period) should be two ints {case}, not {found!r}")
