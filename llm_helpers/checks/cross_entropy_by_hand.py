"""Checks of the exercises of lesson 01; those of the softmax and of the targets."""

import torch

from llm_helpers.checks.by_hand import ByHand
from llm_helpers.checks.cross_entropy_by_hand_gradient import loss_gradient
from llm_helpers.checks.cross_entropy_by_hand_losses import cross_entropy
from llm_helpers.checks.cross_entropy_by_hand_numbers import (
    bits_per_byte,
    doubled_softmax_range,
    overall_perplexity,
)
from llm_helpers.checks.verdict import check, require, require_value

__all__ = [
    "bits_per_byte",
    "cross_entropy",
    "doubled_softmax_range",
    "loss_gradient",
    "overall_perplexity",
    "softmax",
    "target_probas",
]


@check
def softmax(answer):
    """Small logits, then large ones, then rows that lie far apart."""
    logits = torch.randn(2, 3, 5)
    given = logits.clone()
    with ByHand("softmax", "log_softmax", "logsumexp", "cross_entropy"):
        value = answer(given)
    require(
        torch.equal(given, logits),
        "`logits` itself is changed, and its owner goes on with wrong numbers: work "
        "on a copy",
    )
    right = torch.softmax(logits, dim=-1)
    require_value("the probabilities", value, right, _wrong_softmaxes(logits))
    require_value(
        "the probabilities of a single row, (V,),",
        answer(logits[0, 0].clone()),
        right[0, 0],
        {},
    )
    _require_stable(answer)


def _wrong_softmaxes(logits):
    """For each sentence what its mistake gives."""
    weights = logits.exp()
    lowered = (logits - logits.max(dim=-1, keepdim=True).values).exp()
    shifted = (logits - logits.max(dim=1, keepdim=True).values).exp()
    axis = "the softmax is taken over the wrong axis"
    return {
        f"{axis}, that of the tokens: the vocabulary is the last, so `dim=-1`": (
            torch.softmax(logits, dim=1)
        ),
        f"{axis}, that of the rows: the vocabulary is the last, so `dim=-1`": (
            torch.softmax(logits, dim=0)
        ),
        "the softmax is taken over all axes at once: each position has a distribution "
        "of its own, so sum along `dim=-1`": weights / weights.sum(),
        "the sum runs over all axes at once: each position has a distribution of its "
        "own, so sum along `dim=-1`": lowered / lowered.sum(),
        "the sum runs over the wrong axis, that of the tokens: the vocabulary is the "
        "last, so `dim=-1`": lowered / lowered.sum(dim=1, keepdim=True),
        "the sum runs over the wrong axis, that of the rows: the vocabulary is the "
        "last, so `dim=-1`": lowered / lowered.sum(dim=0, keepdim=True),
        "the largest score is taken along another axis than the sum: only a number "
        "that is the same for the whole vocabulary cancels": (
            shifted / shifted.sum(dim=-1, keepdim=True)
        ),
        "the exponentials are not divided by their sum": weights,
        "the exponentials are not divided by their sum: only the largest score is "
        "taken out": lowered,
        "the exponentials are divided by their largest, not by their sum": (
            weights / weights.max(dim=-1, keepdim=True).values
        ),
        "the exponentials are divided by their mean, not by their sum": (
            weights / weights.mean(dim=-1, keepdim=True)
        ),
        "the scores are divided by their sum without an exponential": (
            logits / logits.sum(dim=-1, keepdim=True)
        ),
        "these are logarithms of probabilities: leave the logarithm away": (
            torch.log_softmax(logits, dim=-1)
        ),
        "the sign of the scores is turned round: a higher score is a higher "
        "probability": torch.softmax(-logits, dim=-1),
        "the powers are of 2, not of e: use `exp`": (
            torch.softmax(logits * torch.tensor(2.0).log(), dim=-1)
        ),
    }


def _require_stable(answer):
    large = torch.tensor([[1000.0, 999.0, 0.0, -1000.0], [0.0, 1.0, 2.0, 3.0]])
    value = answer(large.clone())
    require(
        bool(torch.as_tensor(value)[0].isfinite().all()),
        "for the logits (1000, 999, 0, -1000) the exponential overflows and leaves "
        "inf or nan: take the largest score out first",
    )
    require_value(
        "the probabilities for the logits (1000, 999, 0, -1000)",
        value[0],
        torch.softmax(large[0], dim=-1),
        {
            "large scores are cut off, so those of 1000 and 999 become alike: take the "
            "largest one out instead": torch.tensor([0.5, 0.5, 0.0, 0.0])
        },
    )
    low = torch.tensor([[1000.0, 999.0], [-1000.0, -1001.0]])
    value = answer(low.clone())
    require(
        bool(torch.as_tensor(value).isfinite().all()),
        "a row far below another one is divided by zero: take out the largest score of "
        "each row, not one for all",
    )
    require_value(
        "the probabilities of two rows, one far below the other,",
        value,
        torch.softmax(low, dim=-1),
        {},
    )


@check
def target_probas(answer):
    """As many rows as tokens first, where mistakes raise no error; then fewer; then
    axes of length 1."""
    for num_rows in (3, 2):
        probas = torch.softmax(torch.randn(num_rows, 3, 5), dim=-1)
        targets = torch.tensor([[1, 4, 0], [2, 2, 3], [0, 3, 1]])[:num_rows]
        given = probas.clone(), targets.clone()
        value = _picked(answer, *given)
        require(
            torch.equal(given[0], probas) and torch.equal(given[1], targets),
            "the tensors that were given are changed: only read them",
        )
        _require_one_each(value, num_rows)
        require_value(
            f"the probabilities of the targets, B = {num_rows} and T = 3,",
            value,
            probas.gather(-1, targets[..., None])[..., 0],
            _wrong_picks(probas, targets),
        )
    for num_rows, num_columns in ((1, 3), (3, 1)):
        probas = torch.softmax(torch.randn(num_rows, num_columns, 5), dim=-1)
        targets = torch.tensor([4, 0, 1]).view(num_rows, num_columns)
        value = _picked(answer, probas.clone(), targets.clone())
        when = f"B = {num_rows} and T = {num_columns}"
        require(
            not isinstance(value, torch.Tensor) or value.dim() > 1,
            f"an axis of length 1 is lost for {when}, where `squeeze()` takes away "
            "more than the last: name the axis, `squeeze(-1)`",
        )
        right = probas.gather(-1, targets[..., None])[..., 0]
        require_value(f"the probabilities of the targets, {when},", value, right, {})


def _picked(answer, probas, targets):
    try:
        return answer(probas, targets)
    except (RuntimeError, IndexError) as error:
        require(
            "out of bounds" not in str(error),
            "the targets are looked up along the wrong axis: a token id counts along "
            "the vocabulary, the last axis",
        )
        require(
            "same number of dimensions" not in str(error),
            "`gather` wants as many axes in its index as in `probas`: give the targets "
            "one more, `unsqueeze(-1)`",
        )
        raise


def _require_one_each(value, num_rows):
    shape = tuple(value.shape) if isinstance(value, torch.Tensor) else (num_rows, 3)
    require(
        shape != (),
        "one number comes back for all: keep that of each position, (B, T)",
    )
    require(
        shape != (num_rows * 3,),
        "the positions come back in one long row: give them the shape (B, T)",
    )
    require(
        shape != (num_rows, 3, 1),
        "an axis of length 1 is left over from indexing: `squeeze(-1)` takes it away",
    )
    require(
        len(shape) == 2,
        f"the shape is {shape}: each target is combined with positions other than its "
        "own, so pick row, column and token together",
    )


def _wrong_picks(probas, targets):
    """For each sentence what its mistake gives, in shape (B, T)."""
    right = probas.gather(-1, targets[..., None])[..., 0]
    columns = torch.arange(3)
    mistakes = {
        "the largest probability is picked: it is that of the model's favourite, not "
        "of the target": probas.max(dim=-1).values,
        "token ids come back: the probability that stands there is asked for": (
            probas.argmax(dim=-1)
        ),
        "all targets are looked up in the first row of the batch": (
            probas[0, columns, targets]
        ),
        "all targets are looked up at the first position of their row": (
            probas[torch.arange(len(probas))[:, None], 0, targets]
        ),
        "logarithms come back: the probabilities themselves are asked for": right.log(),
        "losses come back: the probabilities themselves are asked for": -right.log(),
    }
    if len(probas) == 3:
        mistakes |= {
            "row and column run in step, so that only positions on the diagonal are "
            "read: the row numbers need the shape (B, 1)": (
                probas[columns, columns, targets]
            ),
            "row and column are exchanged: the rows' numbers run downwards, (B, 1), "
            "those of the columns to the right, (T,)": (
                probas[columns, columns[:, None], targets]
            ),
        }
    return mistakes
