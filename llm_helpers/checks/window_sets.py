"""Checks of the exercises of lesson 00 on sets of windows: batches, and stories."""

from itertools import chain, pairwise, product

import torch

from llm_helpers.checks.token_rows import require_int64, require_pair
from llm_helpers.checks.verdict import CheckError, check, require

MARK = 7  # the end of a story in the check of StoryWindows; no other token is below 100
LARGE_CASES = [  # number of windows, batch_size, drop_last, and the batches' sizes
    (50, 8, False, [8] * 6 + [2]),
    (50, 8, True, [8] * 6),
    (48, 8, True, [8] * 6),
    (48, 8, False, [8] * 6),
    (12, 5, False, [5, 5, 2]),
    (10, 5, True, [5, 5]),
]
SMALL_CASES = [(3, 8, False, [3]), (3, 8, True, [])]


@check
def shuffled_batches(answer):
    """Of 48 windows in random order about two follow a neighbour, at most 14 but for
    three times in a billion. That four passes leave out the same two windows happens
    less than once in a billion; so is that of 6 windows one is never in one of the
    three batches, in 60 passes."""
    start = torch.Generator().manual_seed(1)
    _require_random(_row_numbers(answer, 48, 8, False, start))
    _require_sizes(answer, LARGE_CASES)
    generator = torch.Generator().manual_seed(1)
    passes = [_row_numbers(answer, 50, 8, True, generator) for _ in range(4)]
    require(
        passes[0] != passes[1],
        "the order is the same in every pass: take the numbers from `generator` as it "
        "comes, without seeding it",
    )
    again = _row_numbers(answer, 50, 8, True, torch.Generator().manual_seed(1))
    require(
        again == passes[0],
        "the order does not come from `generator`: one with the same seed should give "
        "the same order again",
    )
    left_out = {frozenset(range(50)) - frozenset(chain(*rows)) for rows in passes}
    require(
        len(left_out) > 1,
        "`drop_last` leaves out the same windows in every pass, and they are never "
        "learned: first shuffle all windows, then drop",
    )
    _require_sizes(answer, SMALL_CASES)
    _require_every_batch(answer, generator)


def _require_every_batch(answer, generator):
    """In many passes every window comes into every batch."""
    met = set()
    for _ in range(60):
        rows = _row_numbers(answer, 6, 2, False, generator)
        met |= {(row, b) for b, batch in enumerate(rows) for row in batch}
    for row, b in product(range(6), range(3)):
        require(
            (row, b) in met,
            f"in 60 passes over 6 windows, in batches of 2, window {row} was never in "
            f"batch {b}: each window should be able to come to every place",
        )


def _require_sizes(answer, cases):
    """How many windows each batch holds, with and without `drop_last`."""
    full = [8] * 6
    by_mistake = {
        (50, False): (
            full,
            "a last batch that is not full is left out although `drop_last` is False",
        ),
        (50, True): (
            [*full, 2],
            "the last batch is there although it is not full and `drop_last` is True",
        ),
        (48, True): (
            full[1:],
            "a full last batch is dropped: 48 windows are 6 full batches of 8",
        ),
        (48, False): (
            [*full, 0],
            "the last batch is empty: 48 windows are 6 full batches of 8",
        ),
        (3, True): (
            [0],
            "there is an empty batch: with `drop_last`, fewer windows than "
            "`batch_size` make no batch at all",
        ),
    }
    for num, batch_size, drop_last, expected in cases:
        generator = torch.Generator().manual_seed(1)
        rows = _row_numbers(answer, num, batch_size, drop_last, generator)
        sizes = [len(batch) for batch in rows]
        wrong, sentence = by_mistake.get((num, drop_last), (None, ""))
        require(sizes != wrong, sentence)
        require(
            sizes == expected,
            f"from {num} windows, with batch_size={batch_size} and "
            f"drop_last={drop_last}, the batches hold {sizes} windows, not {expected}",
        )


def _row_numbers(answer, num_windows, batch_size, drop_last, generator):
    """Which windows are in the batches of a pass: whole, with their targets, once."""
    windows = torch.arange(num_windows * 5).flip(0).view(num_windows, 5)
    inputs, targets = windows[:, :-1].clone(), windows[:, 1:].clone()
    global_state = torch.get_rng_state()
    batches = answer(inputs, targets, batch_size, drop_last, generator)
    require(batches is not None, "None comes back: is a `return` or `yield` missing?")
    batches = list(batches)
    require(
        torch.equal(global_state, torch.get_rng_state()),
        "the order is drawn from the global generator: hand `generator` to whatever "
        "draws it",
    )
    require(
        torch.equal(inputs, windows[:, :-1]) and torch.equal(targets, windows[:, 1:]),
        "`inputs` or `targets` are shuffled in place: leave them as they are",
    )
    for batch in batches:
        require_pair("a batch", batch)
        for name, part in zip(("input_batch", "target_batch"), batch):
            require_int64(name, part, 2, "(B, T)")
    rows = [_numbers_of(*batch, windows) for batch in batches]
    seen = list(chain(*rows))
    require(
        len(seen) == len(set(seen)),
        "some windows come twice and others never: draw a permutation of the row "
        "numbers, not one number after the other",
    )
    return rows


def _numbers_of(input_batch, target_batch, windows):
    numbers = {tuple(row[:-1].tolist()): i for i, row in enumerate(windows)}
    rows = [numbers.get(tuple(row.tolist())) for row in input_batch]
    require(
        None not in rows,
        "a row of `input_batch` is no row of `inputs`: shuffle whole rows, not the "
        "tokens within them",
    )
    require(
        torch.equal(target_batch, windows[rows, 1:]),
        "the targets are not those of their inputs: take both with one and the same "
        "order",
    )
    return rows


def _require_random(rows):
    order = list(chain(*rows))
    require(order != sorted(order), "the windows are not shuffled: they come in order")
    in_order = [list(range(8 * b, 8 * b + 8)) for b in range(len(rows))]
    require(
        [sorted(batch) for batch in rows] != in_order,
        "windows are shuffled only within their batch, so that the same ones always "
        "meet: shuffle all of them, then cut batches",
    )
    neighbours = sum(abs(a - b) == 1 for a, b in pairwise(order))
    require(
        neighbours < 15,
        "neighbouring windows still follow each other: shuffle the windows, not the "
        "batches or the place to begin",
    )


@check
def StoryWindows(answer):  # noqa: N802
    for stride in (4, 2, 6):
        _require_story_windows(answer, [11, 5, 3, 9, 1, 4, 13], 4, stride)
    _require_story_windows(answer, [2, 12], 8, 3)


def _require_story_windows(answer, lengths, context_len, stride):
    """Stories of such lengths, marks included: with last tokens that fit and do not."""
    ends = torch.tensor(lengths).cumsum(0)
    tokens = torch.randperm(sum(lengths)) + 100
    tokens[ends - 1] = MARK
    starts = [0, *ends[:-1].tolist()]
    given = tokens.clone(), list(starts)
    dataset = answer(*given, context_len, stride)
    items = [dataset[i] for i in range(len(dataset))]
    require(
        torch.equal(given[0], tokens),
        "`tokens` is changed: leave the stream as it is",
    )
    require(
        given[1] == starts,
        "`starts` is changed, and its owner goes on with wrong ones: work on a copy of "
        "the list",
    )
    for item in items:
        require_pair("an item", item)
    got = [_place_of(*item, tokens, context_len) for item in items]
    stories = list(zip(starts, ends.tolist()))
    _require_places(got, stories, context_len, stride)
    try:
        dataset[len(items)]
    except IndexError:
        return
    raise CheckError(
        "item number len(dataset) is no error: raise IndexError there, or a `for` loop "
        "over the dataset never ends"
    )


def _place_of(inputs, targets, tokens, context_len):
    """Where in the stream a window begins."""
    for name, row in (("inputs", inputs), ("targets", targets)):
        require_int64(f"the row of {name}", row, 1, "(T,)")
        require(
            len(row) == context_len,
            f"a window has {len(row)} {name}, not {context_len}: T + 1 tokens make T "
            "inputs and T targets, and a story that has fewer has no window",
        )
    require(
        MARK not in inputs,
        "a window runs across the end of a story: the mark may be its last target, "
        "never an input",
    )
    require(not torch.equal(inputs, targets), "the targets are not moved by one")
    place = tokens.tolist().index(int(inputs[0]))
    window = tokens[place : place + context_len + 1]
    require(
        torch.equal(inputs, window[:-1]) and torch.equal(targets, window[1:]),
        f"inputs {inputs.tolist()} and targets {targets.tolist()} are no window of the "
        f"stream: from that place on it holds {window.tolist()}",
    )
    return place


def _require_places(got, stories, context_len, stride):
    expected = _places(stories, context_len, stride)
    for sentence, wrong in _places_by_mistake(stories, context_len, stride).items():
        require(got == expected or got not in wrong, sentence)
    require(
        len(got) == len(set(got)),
        "the same window comes twice: where the strides lead just to the mark, the "
        "window that ends on it is there already",
    )
    require(
        got == expected,
        f"with (start, end) of the stories {stories}, T = {context_len} and stride "
        f"{stride}, the windows should begin at {expected}, not at {got}",
    )


def _places_by_mistake(stories, context_len, stride):
    long = [story for story in stories if story[1] - story[0] > context_len]
    longer = [story for story in long if story[1] - story[0] > context_len + 1]
    unmarked = [(start, end - 1) for start, end in stories]
    of_stream = [
        place
        for place in range(0, stories[-1][1], stride)
        if any(start <= place < end - context_len for start, end in stories)
    ]
    lasts = [end - context_len - 1 for _, end in long]
    return {
        "the mark is never a target: it belongs to its story, and the last window ends "
        "on it": [
            _places(unmarked, context_len, stride),
            _places(unmarked, context_len, stride, with_last=False),
        ],
        "the ends of stories are lost: where the windows do not reach the mark, add "
        "one that ends on it": [_places(stories, context_len, stride, with_last=False)],
        "the last story has no window: it ends where the stream ends": [
            _places(stories[:-1], context_len, stride)
        ],
        "a story of exactly T + 1 tokens is left out: it has one window": [
            _places(longer, context_len, stride)
        ],
        "the strides are counted from the beginning of the stream: in each story they "
        "begin anew, at its first token": [
            of_stream,
            sorted({*of_stream, *lasts}),
        ],
    }


def _places(stories, context_len, stride, with_last=True):
    """Where the windows of stories begin; the last of each ends on the story's end."""
    places = []
    for start, end in stories:
        places += range(start, end - context_len, stride)
        last = end - context_len - 1
        if with_last and last >= start and places[-1] != last:
            places.append(last)
    return places
