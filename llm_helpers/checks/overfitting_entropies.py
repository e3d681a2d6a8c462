"""Checks of the exercises of lesson 04 on entropy and relative entropy."""

import math

import torch

from llm_helpers.checks.verdict import check, require, require_value


def _distributions():
    """True probabilities with zeros among them: float64, (2, 3, 4)."""
    rows = [[0.5, 0.25, 0.25, 0], [0, 1, 0, 0], [0.25, 0.25, 0.25, 0.25]]
    more = [[0.7, 0.1, 0.1, 0.1], [0, 0.5, 0, 0.5], [0, 0.2, 0.2, 0.6]]
    return torch.tensor([rows, more], dtype=torch.float64)


def _require_one_per_row(what, value):
    """The value is (2, 3), one number for each of the distributions (2, 3, 4)."""
    shape = tuple(torch.as_tensor(value).shape) if value is not None else (2, 3)
    require(
        shape != (),
        f"one {what} comes back for all rows together: go along the last axis only, "
        "`dim=-1`",
    )
    require(
        shape not in {(2, 4), (3, 4)},
        f"the {what} is taken along the wrong axis: the vocabulary is the last, "
        "`dim=-1`",
    )
    require(
        shape != (2, 3, 4),
        f"one number comes back for each token: the {what} is the sum over the "
        "vocabulary",
    )


@check
def entropy(answer):
    probas = _distributions()
    given = probas.clone()
    value = answer(given)
    require(
        torch.equal(given, probas),
        "`probas` itself is changed, and its owner goes on with wrong numbers: work "
        "on a copy",
    )
    require(
        value is None or isinstance(value, torch.Tensor),
        f"a tensor should come back, not {type(value).__name__}",
    )
    _require_one_per_row("entropy", value)
    _require_entropies(value, probas)
    require_value(
        "the entropy of a single distribution, (V,),",
        answer(probas[0, 0].clone()),
        -_p_log_p(probas[0, 0]).sum(),
        {},
    )
    _require_small_probabilities(answer)


def _require_small_probabilities(answer):
    """So many tokens of a probability of 2e-7 that an offset of 1e-9 shows."""
    probas = torch.full((2**16,), 2e-7, dtype=torch.float64)
    probas[0] += 1 - probas.sum()
    value = answer(probas.clone())
    require_value(
        "the entropy of 65536 tokens, of which all but one are hardly possible,",
        value,
        -_p_log_p(probas).sum(),
        {
            "small probabilities are cut off, or something is added to them: only a "
            "probability of exactly 0 needs care": value,  # whatever else it may be
        },
    )


def _require_entropies(value, probas):
    naive, right = -(probas * probas.log()).sum(-1), -_p_log_p(probas).sum(-1)
    twice = torch.softmax(probas, dim=-1)
    require_value(
        "the entropies",
        value,
        right,
        {
            "the entropy is nan where a probability is 0: 0 * log(0) is not a number "
            "for a computer, so let such a term count 0": naive,
            "the sign is missing: logarithms of probabilities are negative": -right,
            "these are bits, not nats: take the natural logarithm": (
                right / torch.tensor(2.0).log()
            ),
            "a mean over the vocabulary is taken: p is the weight already, so sum": (
                right / 4
            ),
            "the surprises are not weighted: multiply each logarithm by its p": (
                -probas.log().sum(-1)
            ),
            "a softmax is taken of `probas`: they are probabilities already": (
                -(twice * twice.log()).sum(-1)
            ),
            "the exponential is taken in the end: that is a perplexity": right.exp(),
        },
    )


@check
def relative_entropy(answer):
    probas = _distributions()
    logits = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1))
    given = probas.clone(), logits.clone()
    value = answer(*given)
    require(
        torch.equal(given[0], probas) and torch.equal(given[1], logits),
        "the tensors that were given are changed: work on copies",
    )
    _require_one_per_row("relative entropy", value)
    _require_relative_entropies(value, probas, logits)
    _require_finite_where_sure(answer)


def _require_relative_entropies(value, probas, logits):
    log_q = torch.log_softmax(logits.double(), dim=-1)
    q, p_log_p = log_q.exp(), _p_log_p(probas)
    right = (p_log_p - probas * log_q).sum(-1)
    back = q * (log_q - probas.log())
    across = [torch.log_softmax(logits.double(), dim=dim) for dim in (0, 1)]
    require_value(
        "the relative entropies",
        value,
        right,
        {
            "the relative entropy is nan where a true probability is 0: such a term "
            "counts 0": (probas * (probas.log() - log_q)).sum(-1),
            "this is the cross entropy: the entropy of the true distribution has to be "
            "taken away from it": -(probas * log_q).sum(-1),
            "the sign is wrong: p stands above q in the fraction": -right,
            "the direction is wrong: the weights are those of the model, but it is the "
            "true p that draws the tokens": back.sum(-1),
            "the direction is wrong, and terms are left out: the weights are the true "
            "p, not those of the model": back.where(probas > 0, 0.0).sum(-1),
            "logits are taken for logarithms of probabilities: `log_softmax` makes "
            "them so": (p_log_p - probas * logits).sum(-1),
            "the softmax is taken over the wrong axis: the vocabulary is the last": (
                (p_log_p - probas * across[1]).sum(-1)
            ),
            "the softmax is taken over the first axis: the vocabulary is the last": (
                (p_log_p - probas * across[0]).sum(-1)
            ),
            "a mean over the vocabulary is taken: p is the weight already, so sum": (
                right / 4
            ),
            "these are bits, not nats: take the natural logarithm": (
                right / torch.tensor(2.0).log()
            ),
        },
    )


def _require_finite_where_sure(answer):
    """The softmax of a logit 200 below the others is 0 as a float32."""
    probas = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64)
    value = answer(probas, torch.tensor([0.0, -200.0, -1.0]))
    require_value(
        "the relative entropy of (0.5, 0.5, 0) with the logits (0, -200, -1)",
        value,
        100 + math.log(1 + math.exp(-1)) - math.log(2),
        {
            "a probability of the model that rounds to 0 makes the result infinite: "
            "take `log_softmax` instead of the logarithm of a softmax": torch.inf,
            "a probability of the model that rounds to 0 is patched over, and what it "
            "was is lost: take `log_softmax` instead of the logarithm of a softmax": (
                value  # whatever else it may be
            ),
        },
    )


def _p_log_p(probas):
    return torch.special.xlogy(probas, probas)
