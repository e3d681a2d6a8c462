"""Checks of the exercises of lesson 06 that drop tokens: top-k and top-p.

The logits of these checks are all different, except where ties are looked at, so that
a token's place in the order is never in doubt.
"""

import torch

from llm_helpers.checks.verdict import CheckError, check, require


def answer_to_copy(answer, logits, setting, may_be_given=True):
    """What the answer makes of a copy of the logits, which must stay as it is.

    Unless it may be the given tensor, it has to lie elsewhere in memory.
    """
    given = logits.clone()
    out = answer(given, setting)
    require(torch.equal(given, logits), "`logits` itself is changed: make a new tensor")
    require(
        may_be_given
        or not isinstance(out, torch.Tensor)
        or out.data_ptr() != given.data_ptr(),
        "`logits` itself comes back where all tokens stay: a new tensor is asked for, "
        "such as `logits.clone()`",
    )
    return out


@check
def keep_top_k(answer):
    logits = torch.randn(2, 3, 9)
    for k in (3, 1, 9):
        kept = _rank(logits) < k
        out = answer_to_copy(answer, logits, k, may_be_given=False)
        _require_filtered(
            f"k = {k}", out, logits, kept, _wrong_top_k(logits, k), "the k largest"
        )
    _require_all_where_k_is_large(answer, logits)
    _require_no_more_at_ties(answer)


def _require_all_where_k_is_large(answer, logits):
    try:
        out = answer_to_copy(answer, logits, 12, may_be_given=False)
    except (RuntimeError, IndexError, ValueError) as error:
        raise CheckError(
            f"with k = 12 and 9 tokens it stops with {type(error).__name__}: where "
            "there are fewer than k tokens, all of them stay"
        ) from None
    require(
        isinstance(out, torch.Tensor) and torch.equal(out, logits),
        "with k = 12 and 9 tokens something is dropped: all of them should stay",
    )


def _require_no_more_at_ties(answer):
    tied = torch.tensor([[1.0, 2.0, 0.0, 1.0, 1.0], [3.0, 3.0, 3.0, 3.0, 3.0]])
    out = answer_to_copy(answer, tied, 3)
    counts = out.isfinite().sum(dim=-1).tolist()
    require(
        max(counts) <= 3,
        f"{max(counts)} tokens are kept with k = 3, since several are equal to the "
        "k-th: take the places that `topk` returns, not all that reach a threshold",
    )
    best = out[0][out[0].isfinite()].sort(descending=True).values.tolist()
    require(
        counts == [3, 3] and best == [2.0, 1.0, 1.0],
        f"of {tied[0].tolist()} with k = 3 the tokens {best} are kept, not "
        "[2.0, 1.0, 1.0]",
    )


def _rank(logits):
    """The place of each token in the order of its row, from 0 for the largest."""
    return logits.argsort(dim=-1, descending=True).argsort(dim=-1)


def _wrong_top_k(logits, k):
    """For each sentence the tokens that its mistake keeps."""
    rank = _rank(logits)
    thresholds = logits.topk(k, dim=-1).values[..., -1:]
    batch = logits.flatten().topk(k).values[-1]
    rows = logits.flatten(0, -2)
    of_first_row = (rank.flatten(0, -2)[:1] < k).expand_as(rows).view_as(logits)
    return {
        "one token too few is kept: the k-th largest stays too": rank < k - 1,
        "one token too many is kept: with the k-th largest it ends": rank <= k,
        "the k largest are dropped: they are the ones that stay": rank >= k,
        "the k smallest are kept: keep the largest": rank >= logits.shape[-1] - k,
        "k tokens are kept in the whole batch: each row keeps its own k": (
            logits >= batch
        ),
        "one row's threshold is used for all: each row has its own k-th largest": (
            logits >= thresholds.flatten()[0]
        ),
        "the lowest row's threshold is used for all: each row has its own": (
            logits >= thresholds.min()
        ),
        "the tokens of the first row are kept in all rows: each row has its own": (
            of_first_row
        ),
    }


@check
def keep_top_p(answer):
    """Rows of random logits, then cases where a single word or a tie decides.

    No row reaches a p exactly, so that rounding decides nothing; but for four tokens
    of a quarter each, whose sums have no rounding.
    """
    logits = 1.5 * torch.randn(2, 8, 30)
    for p in (0.6, 0.8, 0.95):
        out = answer_to_copy(answer, logits, p)
        mistakes = _wrong_top_p(logits, p)
        kept = _nucleus(logits, p)
        _require_filtered(f"p = {p}", out, logits, kept, mistakes, "the nucleus")
    sure = torch.tensor([[0.3, 5.0, 0.1, -1.0]])
    out = answer_to_copy(answer, sure, 0.4)
    _require_filtered(
        "p = 0.4 and a likeliest token above it",
        out,
        sure,
        _nucleus(sure, 0.4),
        _wrong_top_p(sure, 0.4),
        "the likeliest token alone",
    )
    _require_the_fewest(answer)
    _require_all_where_p_is_one(answer)


def _require_the_fewest(answer):
    equal = torch.zeros(1, 12)
    count = int(answer_to_copy(answer, equal, 0.9).isfinite().sum())
    require(
        count == 11,
        f"of 12 equally likely tokens {count} are kept with p = 0.9: the fewest that "
        "reach it are 11, so do not let in all that are as likely as the last",
    )
    count = int(answer_to_copy(answer, torch.zeros(1, 4), 0.5).isfinite().sum())
    require(
        count == 2,
        f"of 4 equally likely tokens {count} are kept with p = 0.5: 2 reach it "
        "exactly, and a token is needed only while those before it hold less than p",
    )


def _require_all_where_p_is_one(answer):
    steep = torch.tensor([[40.0, 0.0, -1.0, 15.0]])
    require(
        torch.equal(answer_to_copy(answer, steep, 1.0), steep),
        "with p = 1 tokens are dropped: in float32 the first ones may reach 1 by "
        "rounding, so treat p = 1 apart and keep all",
    )


def _nucleus(logits, p, one_less=0):
    """Which tokens stay: those before which less than p is held."""
    ordered, order = torch.softmax(logits, dim=-1).sort(dim=-1, descending=True)
    held = ordered.cumsum(dim=-1) - (1 - one_less) * ordered
    return torch.empty_like(held, dtype=torch.bool).scatter(-1, order, held < p)


def _wrong_top_p(logits, p):
    """For each sentence the tokens that its mistake keeps."""
    probas, rank = torch.softmax(logits, dim=-1), _rank(logits)
    too_few = _nucleus(logits, p, one_less=1)
    nucleus = _nucleus(logits, p)
    size = nucleus.sum(dim=-1, keepdim=True)
    rows, first = probas.flatten(0, -2), rank.flatten(0, -2)[:1]
    of_first = first < size.flatten(0, -2)[:1]
    raw = logits.sort(dim=-1, descending=True)
    sums = (raw.values.cumsum(dim=-1) - raw.values) < p
    return {
        "top-p keeps one token too few: the token that crosses p stays too, so ask "
        "what the tokens *before* it hold": too_few,
        "top-p keeps one token too few wherever it keeps several: not only the "
        "likeliest token stays when it crosses p, any token does": (
            too_few | (rank == 0)
        ),
        "top-p keeps one token too many: with the token that reaches p it ends": (
            rank <= size
        ),
        "the nucleus is dropped and the tail is kept: turn it round": ~nucleus,
        "probabilities are added up in the order of the vocabulary: sort them first, "
        "the likeliest in front": probas.cumsum(dim=-1) - probas < p,
        "probabilities are added up in the order of the vocabulary, and the token that "
        "crosses p is dropped: sort them first": probas.cumsum(dim=-1) <= p,
        "the least likely tokens come first: sort in descending order": (
            _from_the_tail(probas, p)
        ),
        "each token is judged by its own probability: add up those of the likelier "
        "ones": probas >= p,
        "p is taken for the share that is cut off: it is what stays": (
            _nucleus(logits, 1 - p)
        ),
        "logits are added up: take their softmax first": (
            torch.empty_like(sums).scatter(-1, raw.indices, sums)
        ),
        "the mask is in sorted order: scatter it back to the tokens' places": (
            torch.arange(logits.shape[-1]).expand_as(logits) < size
        ),
        "the tokens of the first row are kept in all rows: each row has its own": (
            of_first.expand_as(rows).view_as(logits)
        ),
    }


def _from_the_tail(probas, p):
    """The tokens before which less than p is held if the least likely come first."""
    ordered, order = probas.sort(dim=-1)
    held = ordered.cumsum(dim=-1) - ordered
    return torch.empty_like(held, dtype=torch.bool).scatter(-1, order, held < p)


def _require_filtered(case, out, logits, kept, mistakes, wanted):
    """Raise CheckError unless exactly the kept tokens are as they were.

    Args:
        kept: which tokens should stay, of the shape of the logits.
        mistakes: for each sentence the tokens that this mistake keeps.
        wanted: names the tokens that should stay.
    """
    require(
        isinstance(out, torch.Tensor),
        f"a tensor of logits should come back, not {type(out).__name__}",
    )
    require(
        out.shape == logits.shape and out.dtype == logits.dtype,
        f"logits of the shape {tuple(logits.shape)} and {logits.dtype} should come "
        f"back, not {tuple(out.shape)} and {out.dtype}",
    )
    expected = logits.masked_fill(~kept, -torch.inf)
    if torch.equal(out, expected):
        return
    in_order = [t.flatten(0, -2).sort(dim=-1).values for t in (out, expected)]
    require(
        not torch.equal(*in_order),
        "the right logits come back at the wrong places: after sorting, put each back "
        "where its token was",
    )
    is_changed = (out != logits) & (out != -torch.inf)
    _require_nothing_else(out, is_changed)
    for sentence, wrong in mistakes.items():
        require(not torch.equal(out != -torch.inf, wrong), f"{sentence} ({case})")
    row = int((out != expected).any(dim=-1).flatten().nonzero()[0])
    is_kept = (out != -torch.inf).flatten(0, -2)[row]
    raise CheckError(
        f"with {case} the tokens {is_kept.nonzero().flatten().tolist()} are kept in "
        f"row {row}, not {kept.flatten(0, -2)[row].nonzero().flatten().tolist()}, "
        f"{wanted}"
    )


def _require_nothing_else(out, is_changed):
    """Every token has its own logit or minus infinity."""
    values = out[is_changed]
    require(not bool(out.isnan().any()), "there is a NaN among the logits")
    sums = out.sum(dim=-1)
    require(
        bool((out < 0).any()) or not torch.allclose(sums, torch.ones_like(sums)),
        "probabilities come back: return logits, and leave the softmax to the draw",
    )
    require(
        len(values) == 0 or not bool((values == 0).all()),
        "dropped tokens get the logit 0: exp(0) is 1, so they would still be drawn; "
        "give them minus infinity",
    )
    require(
        len(values) == 0 or not bool((values < -100).all()),
        "dropped tokens get a large negative number: give them minus infinity, "
        "`-torch.inf`, which no temperature brings back",
    )
    require(
        len(values) == 0,
        "the logits of some tokens are changed: what stays should be as it was",
    )
