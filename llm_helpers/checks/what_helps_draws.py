"""Check of the exercise of lesson 05 on dropout, and what its checks share."""

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
    require(
        "_modules" in vars(module),
        "`Dropout` is not made ready as a module: call `super().__init__()` first",
    )
    _require_nothing_in_eval_mode(module, x)
    module.train()
    _output(module, x.double())
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
        out.shape == x.shape,
        f"the output should be of the shape {tuple(x.shape)}, not {tuple(out.shape)}: "
        "what is dropped stays, as a zero",
    )
    require(
        out.dtype == x.dtype,
        f"the output should be {x.dtype}, as the input is, not {out.dtype}",
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
