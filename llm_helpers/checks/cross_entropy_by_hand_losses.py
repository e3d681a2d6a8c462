"""Check of the exercise of lesson 01 on the loss of logits."""

import torch
import torch.nn.functional as F

from llm_helpers.checks.by_hand import ByHand
from llm_helpers.checks.verdict import CheckError, check, require, require_value


@check
def cross_entropy(answer):
    logits = 2 * torch.randn(2, 3, 5)
    targets = torch.tensor([[1, 4, 0], [2, 2, 3]])
    given = logits.clone().requires_grad_(), targets.clone()
    with ByHand("cross_entropy", "nll_loss", "log_softmax", "logsumexp"):
        loss = answer(*given)
    require(
        torch.equal(given[0].detach(), logits) and torch.equal(given[1], targets),
        "the tensors that were given are changed: work on copies",
    )
    _require_one_loss(loss)
    require_value(
        "the loss", loss, mean_loss(logits, targets), _wrong_losses(logits, targets)
    )
    require(
        isinstance(loss, torch.Tensor) and loss.requires_grad,
        "the loss cannot be differentiated: return the tensor itself, without "
        "`.item()`, `.detach()` or `torch.no_grad()`",
    )
    (gradient,) = torch.autograd.grad(loss, given[0], allow_unused=True)
    require(
        gradient is not None,
        "the loss has lost its connection with `logits`: compute it from them, without "
        "`detach`",
    )
    copy = logits.clone().requires_grad_()
    (expected,) = torch.autograd.grad(mean_loss(copy, targets), copy)
    require_value("the gradient of the loss in the logits", gradient, expected, {})
    for num_rows, num_columns in ((1, 3), (3, 1)):
        _require_thin(answer, num_rows, num_columns)
    _require_finite(answer)
    _require_any_distance(answer)


def _require_thin(answer, num_rows, num_columns):
    """The loss of a batch in which an axis has the length 1."""
    when = f"for B = {num_rows} and T = {num_columns}"
    logits = 2 * torch.randn(num_rows, num_columns, 5)
    targets = torch.tensor([4, 0, 1]).view(num_rows, num_columns)
    try:
        loss = answer(logits.clone(), targets.clone())
    except (RuntimeError, IndexError, ValueError) as error:
        words = str(error).splitlines()[0] if str(error) else "no message"
        raise CheckError(
            f"it stops {when} ({words}): `squeeze()` takes away every axis of length "
            "1, so name the one that is meant, `squeeze(-1)`"
        ) from None
    require_value(f"the loss {when}", loss, mean_loss(logits, targets), {})


def _require_one_loss(loss):
    shape = tuple(loss.shape) if isinstance(loss, torch.Tensor) else ()
    require(
        shape not in {(2, 3), (2, 3, 1), (6,), (6, 1)},
        "one loss comes back for each token: take their mean",
    )
    require(
        shape != (2,),
        "one loss comes back for each row: take the mean over all tokens",
    )


def mean_loss(logits, targets, **options):
    """PyTorch's own cross entropy of logits (B, T, V) and targets (B, T)."""
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), **options)


def _wrong_losses(logits, targets):
    """For each sentence what its mistake gives."""
    right = mean_loss(logits, targets)
    true_logits = logits.gather(-1, targets[..., None])[..., 0]
    probas = torch.softmax(logits, dim=-1).gather(-1, targets[..., None])
    log_sum = logits.logsumexp(dim=-1)
    axis = (
        "the sum of exponentials runs over the wrong axis: the vocabulary is the last"
    )
    return {
        "the loss is a sum over tokens, not a mean": right * 6,
        "the sum over tokens is divided by the number of rows: divide by that of "
        "tokens": right * 3,
        "the mean is also over the vocabulary: a token has one loss, so divide by the "
        "number of tokens only": right / 5,
        "the sign is wrong: logarithms of probabilities are negative, and the loss is "
        "their mean with a minus": -right,
        "these are bits, not nats: take the natural logarithm": (
            right / torch.tensor(2.0).log()
        ),
        "the logarithm has the base 10: take the natural one": (
            right / torch.tensor(10.0).log()
        ),
        f"{axis}, not that of the tokens": (
            logits.logsumexp(dim=1, keepdim=True).expand_as(logits) - logits
        )
        .gather(-1, targets[..., None])
        .mean(),
        f"{axis}, not that of the rows": (
            logits.logsumexp(dim=0, keepdim=True).expand_as(logits) - logits
        )
        .gather(-1, targets[..., None])
        .mean(),
        f"{axis}, not that of the tokens: each position has a sum of its own": (
            logits.logsumexp(dim=1).mean() - true_logits.mean()
        ),
        f"{axis}, not that of the rows: each position has a sum of its own": (
            logits.logsumexp(dim=0).mean() - true_logits.mean()
        ),
        "the largest score was taken out and is not put back: add it to the logarithm "
        "of the sum": (log_sum - logits.max(dim=-1).values - true_logits).mean(),
        "the largest score is counted twice: take it out of both terms, or put it back "
        "into the sum": (log_sum + logits.max(dim=-1).values - true_logits).mean(),
        "only the true tokens' logits are looked at: subtract them from the "
        "log-sum-exp": -true_logits.mean(),
        "the true tokens' logits are missing: subtract them from the log-sum-exp": (
            log_sum.mean()
        ),
        "the logarithm is taken of the mean probability: first the logarithm of each, "
        "then the mean": -probas.mean().log(),
        "this is a perplexity: leave the exponential in the end away": right.exp(),
        "only the last position of each row is scored: every position has a target": (
            F.cross_entropy(logits[:, -1], targets[:, -1])
        ),
        "the model's favourites are scored: pick the logits of the targets": (
            (log_sum - logits.max(dim=-1).values).mean()
        ),
        "softmax is taken twice: the scores in the formula are the logits": (
            mean_loss(torch.softmax(logits, dim=-1), targets)
        ),
    }


def _require_finite(answer):
    targets = torch.tensor([[0, 1]])
    high = torch.tensor([[[1000.0, 999.0], [1000.0, 999.0]]])
    require(
        bool(torch.as_tensor(answer(high.clone(), targets)).isfinite()),
        "for logits of 1000 the exponential overflows: take the largest score out "
        "first",
    )
    apart = torch.tensor([[[1000.0, 999.0], [-1000.0, -1001.0]]])
    loss = torch.as_tensor(answer(apart.clone(), targets))
    require(
        bool(loss.isfinite()),
        "a position whose scores lie far below those of another one costs inf: take "
        "out the largest score of each position, not one for all",
    )
    for logits in (high, apart):
        _require_loss(answer, logits, targets)


def _require_any_distance(answer):
    """A true token costs its distance, also where float64 has no such probability."""
    targets = torch.tensor([[0, 1]])
    for distance in (200, 2000):
        logits = torch.tensor([[[0.0, -distance], [0.0, -distance]]])
        loss = torch.as_tensor(answer(logits.clone(), targets))
        costs = f"a true token whose score is {distance} below the largest costs"
        require(
            bool(loss.isfinite()),
            f"{costs} inf: its probability rounds to 0, so compute the logarithm from "
            "the logits, not from a probability",
        )
        require(
            loss > 0.45 * distance,
            f"{costs} too little: its probability rounds to 0 and something was put in "
            "its place, so compute the logarithm from the logits",
        )
        _require_loss(answer, logits, targets)


def _require_loss(answer, logits, targets):
    require_value(
        f"the loss for the logits {logits[0].tolist()} and the targets [0, 1]",
        answer(logits.clone(), targets),
        mean_loss(logits, targets),
        {},
        tolerance=1e-3,  # near 1000 a float32 has four digits behind the point
    )
