"""Check of the exercise of lesson 05 on windows from random places."""

import torch

from llm_helpers.checks.verdict import check, require
from llm_helpers.checks.what_helps_draws import require_pair


@check
def RandomWindows(answer):  # noqa: N802 (named like the reader's class)
    """Exact but for one test: all places where a window fits are equally likely.

    That is chi-square of 1,600 draws from 8 places, with a limit that a right answer
    exceeds less than once in a million seeds (7 degrees of freedom).
    """
    tokens = torch.arange(100, 140)
    dataset = answer(tokens, 8, 5, torch.Generator().manual_seed(1))
    require(
        len(dataset) == 5,
        f"the length is {len(dataset)} for num_windows=5: it says how many windows "
        "make an epoch",
    )
    state = torch.get_rng_state()
    for index in range(5):
        _require_window(dataset[index], tokens, 8)
    require(
        torch.equal(state, torch.get_rng_state()),
        "the global generator is drawn from: give `torch.randint` the `generator`",
    )
    _require_end(dataset)
    _require_all_places(answer)
    _require_the_seed_decides(answer)


def _require_window(window, tokens, context_len):
    require_pair(window, "(inputs, targets)")
    inputs, targets = window
    for name, part in (("inputs", inputs), ("targets", targets)):
        require(
            isinstance(part, torch.Tensor) and part.dtype == torch.int64,
            f"the {name} should be a tensor of int64",
        )
        require(
            tuple(part.shape) == (context_len,),
            f"the {name} have the shape {tuple(part.shape)}, not ({context_len},): a "
            "window is `context_len` + 1 tokens, and must not run over the end",
        )
    require(
        not torch.equal(inputs, targets),
        "the targets are the inputs: they should be moved by one token",
    )
    start = int(inputs[0] - tokens[0])  # the tokens of these streams count upwards
    places = (start + torch.arange(context_len + 1)) % len(tokens)
    round_the_end = tokens[places[:-1]], tokens[places[1:]]
    require(
        start + context_len < len(tokens)
        or not all(map(torch.equal, (inputs, targets), round_the_end)),
        "a window runs over the end and goes on at the beginning: draw only places "
        "where it fits whole",
    )
    require(
        torch.equal(inputs, tokens[start : start + context_len]),
        "the inputs are not in a row: a window is one piece of the stream",
    )
    require(
        torch.equal(targets, inputs + 1),
        "the targets are not moved by one: position i asks for token i + 1",
    )


def _require_end(dataset):
    try:
        dataset[len(dataset)]
    except IndexError:
        return
    require(
        False,
        "an index of `num_windows` is answered, so a `for` loop over the data set "
        "would not end: raise IndexError",
    )


def _require_all_places(answer):
    tokens = torch.arange(100, 116)  # windows of 8 + 1 fit at 8 places
    dataset = answer(tokens, 8, 1600, torch.Generator().manual_seed(2))
    counts = torch.zeros(8)
    for index in range(1600):
        window = dataset[index]
        _require_window(window, tokens, 8)
        counts[window[0][0] - 100] += 1
    require(
        int((counts > 0).sum()) > 1,
        "all windows begin at the same place: draw one anew in `__getitem__`, and set "
        "no seed there",
    )
    require(
        bool(counts[-1] > 0),
        "the last window that fits is never drawn: it begins at N - T - 1, so there "
        "are N - T places, and `torch.randint` leaves out its end",
    )
    require(
        bool(counts[0] > 0),
        "no window begins at the first token: places are counted from 0",
    )
    require(
        bool(((counts - 200) ** 2 / 200).sum() < 41),
        "the places are not equally likely: of 1600 windows "
        f"{[int(n) for n in counts]} begin at the 8 places, not some 200 each",
    )


def _require_the_seed_decides(answer):
    tokens = torch.arange(100, 1100)
    generator = torch.Generator().manual_seed(3)
    dataset = answer(tokens, 8, 6, generator)
    first, second = (_starts(dataset) for _ in range(2))
    require(
        first != second,
        "the second epoch has the windows of the first: draw in `__getitem__`, and "
        "neither seed nor copy the generator there",
    )
    again = answer(tokens, 8, 6, torch.Generator().manual_seed(3))
    require(
        (first, second) == (_starts(again), _starts(again)),
        "the same seed brings other windows: every draw must come from `generator`",
    )
    other = answer(tokens, 8, 6, torch.Generator().manual_seed(4))
    require(
        _starts(other) != first,
        "another seed brings the same windows: draw from the `generator` that is "
        "handed over",
    )
    require(
        len({int(dataset[2][0][0]) for _ in range(6)}) > 1,
        "the same index brings the same window again: draw at each call, whatever the "
        "index",
    )
    state = generator.get_state()
    _starts(dataset)
    unused = torch.Generator().manual_seed(3).get_state()
    require(
        torch.equal(state, unused) or not torch.equal(state, generator.get_state()),
        "no number is drawn from `generator` in an epoch: draw at each call",
    )
    require(
        not torch.equal(state, generator.get_state()),
        "the draws come from a copy: take them from `generator` itself, whose state a "
        "checkpoint can keep",
    )


def _starts(dataset):
    return [int(dataset[i][0][0]) for i in range(len(dataset))]
