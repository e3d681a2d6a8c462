"""Checks of the exercises of lesson 05 whose answers draw random numbers."""

import math

import torch
from torch import nn

from llm_helpers.checks.verdict import check, require, require_value


def require_pair(pair, names):
    require(
        hasattr(pair, "__len__") and len(pair) == 2,
        f"two things should come back, {names}, not {pair!r}",
    )


@check
def Dropout(answer):  # noqa: N802 (named like the reader's class)
    """Exact where possible; the share of zeros has to be judged statistically.

    It is counted over 131,072 values for each of two p. The limit is 5.1 standard
    deviations of the count, so a right answer fails less than once in a million; a p
    that is wrong by 0.01 is found all but surely.
    """
    require(
        not (answer.__module__ or "").startswith("torch."),
        "`Dropout` is PyTorch's own: write one of yours, then check that",
    )
    x = torch.randn(8, 64, 256) + 0.1
    module = answer(0.25)
    require(isinstance(module, nn.Module), "`Dropout` should be an `nn.Module`")
    _require_nothing_in_eval_mode(module, x)
    module.train()
    _require_scaled_zeros(module, x)
    _require_independent(answer, module)
    _require_share_of_zeros(answer, x)
    _require_gradient(module)
    kept = answer(0.0).train()(x)
    require(torch.equal(kept, x), "with p = 0 the input should come back as it is")


def _require_nothing_in_eval_mode(module, x):
    out = _output(module.eval(), x)
    require(
        not bool((out == 0).any()),
        "values are dropped in eval mode: look at `self.training`",
    )
    require_value(
        "the output in eval mode",
        out,
        x,
        {
            "the output is divided by 1 - p in eval mode too: there it is the input": (
                x / 0.75
            ),
            "the output is multiplied by 1 - p in eval mode: with the division in "
            "train mode nothing is left to correct": x * 0.75,
        },
    )


def _output(module, x):
    """What the module makes of a copy of x, which must stay as it is."""
    given = x.clone()
    out = module(given)
    require(torch.equal(given, x), "the input itself is changed: make a new tensor")
    require(
        isinstance(out, torch.Tensor),
        f"`forward` should return a tensor, not {type(out).__name__}",
    )
    require(
        out.shape == x.shape and out.dtype == x.dtype,
        f"the output should be {x.dtype} of the shape {tuple(x.shape)}, not "
        f"{out.dtype} of {tuple(out.shape)}: what is dropped stays, as a zero",
    )
    return out


def _require_scaled_zeros(module, x):
    out = _output(module, x)
    is_kept = out != 0
    require(not bool(is_kept.all()), "nothing is dropped in train mode")
    require(bool(is_kept.any()), "everything is dropped in train mode")
    factors = (out / x)[is_kept]
    ones = torch.ones_like(factors)
    require_value(
        "the factor of the values that are left, for p = 0.25,",
        factors,
        ones / 0.75,
        {
            "what is left is not scaled: divide it by 1 - p, so that the mean stays": (
                ones
            ),
            "what is left is multiplied by 1 - p: divide, so that the mean stays": (
                ones * 0.75
            ),
            "what is left is divided by p, the share that is gone: divide by 1 - p": (
                ones / 0.25
            ),
        },
        tolerance=1e-4,
    )


def _require_share_of_zeros(answer, x):
    for p in (0.25, 0.1):
        share = (answer(p).train()(x) == 0).double().mean().item()
        limit = 5.1 * math.sqrt(p * (1 - p) / x.numel())
        require(
            abs(share - (1 - p)) > limit,
            f"with p = {p} a share of {share:.3f} is dropped: p is the probability to "
            "be dropped, not to be kept",
        )
        require(
            abs(share - p) < limit,
            f"with p = {p} a share of {share:.3f} is dropped, which is no accident "
            f"among {x.numel()} values",
        )


def _require_independent(answer, module):
    """What is asked here a right answer fails less than once in 10**20 times."""
    ones = torch.ones(16, 32, 64)
    is_kept = module(ones) != 0
    for axis, name in enumerate(("first", "second", "last")):
        require(
            not bool((is_kept == is_kept.narrow(axis, 0, 1)).all()),
            f"values share their fate along the {name} axis: draw one number for each "
            "value of the input",
        )
    require(
        not torch.equal(is_kept, module(ones) != 0),
        "the same values are dropped at each call: draw in `forward`, without a seed",
    )
    half = answer(0.5).train()
    counts = {int((half(torch.ones(4)) == 0).sum()) for _ in range(64)}
    require(
        len(counts) > 1,
        f"of 4 values always {min(counts)} are dropped: each should be dropped with "
        "probability p, whatever becomes of the others",
    )
    masks = []
    for _ in range(2):
        torch.manual_seed(7)
        masks.append(module(ones) != 0)
    require(
        torch.equal(*masks),
        "the same seed drops other values: draw from PyTorch's global generator",
    )


def _require_gradient(module):
    x = torch.randn(64, requires_grad=True)
    out = module(x)
    require(
        out.requires_grad,
        "no gradient can flow: multiply the input itself, outside of `torch.no_grad()`",
    )
    out.sum().backward()
    require_value("the gradient of the input", x.grad, (out != 0) / 0.75, {}, 1e-4)


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
    require(
        not torch.equal(state, generator.get_state()),
        "the draws come from a copy: take them from `generator` itself, whose state a "
        "checkpoint can keep",
    )


def _starts(dataset):
    return [int(dataset[i][0][0]) for i in range(len(dataset))]
