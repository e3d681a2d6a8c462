"""Checks of the exercises of lesson 01 on the loss of logits and its gradient."""

import torch
import torch.nn.functional as F

from llm_helpers.checks.by_hand import ByHand
from llm_helpers.checks.verdict import check, require, require_value

IGNORED = -100
VOCABULARY_SIZE = 120  # above 100, so that -100 as an index raises no error


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
        "the loss", loss, _mean_loss(logits, targets), _wrong_losses(logits, targets)
    )
    require(
        isinstance(loss, torch.Tensor) and loss.requires_grad,
        "the loss cannot be differentiated: return the tensor itself, without "
        "`.item()`, `.detach()` or `torch.no_grad()`",
    )
    (gradient,) = torch.autograd.grad(loss, given[0])
    copy = logits.clone().requires_grad_()
    (expected,) = torch.autograd.grad(_mean_loss(copy, targets), copy)
    require_value("the gradient of the loss in the logits", gradient, expected, {})
    _require_finite(answer)


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


def _mean_loss(logits, targets, **options):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), **options)


def _wrong_losses(logits, targets):
    """For each sentence what its mistake gives."""
    right = _mean_loss(logits, targets)
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
            _mean_loss(torch.softmax(logits, dim=-1), targets)
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
    wide = torch.tensor([[[0.0, -200.0], [0.0, -200.0]]])
    loss = torch.as_tensor(answer(wide.clone(), targets))
    require(
        bool(loss.isfinite()),
        "a true token whose score is 200 below the largest costs inf: its probability "
        "rounds to 0, so compute the logarithm from the logits, not from a probability",
    )
    require(
        loss > 90,
        "a true token whose score is 200 below the largest costs too little: its "
        "probability rounds to 0 and something was put in its place, so compute the "
        "logarithm from the logits",
    )
    apart = torch.tensor([[[1000.0, 999.0], [-1000.0, -1001.0]]])
    loss = torch.as_tensor(answer(apart.clone(), targets))
    require(
        bool(loss.isfinite()),
        "a position whose scores lie far below those of another one costs inf: take "
        "out the largest score of each position, not one for all",
    )
    for logits in (high, wide, apart):
        require_value(
            f"the loss for the logits {logits[0].tolist()} and the targets [0, 1]",
            answer(logits.clone(), targets),
            _mean_loss(logits, targets),
            {},
            tolerance=1e-3,  # near 1000 a float32 has four digits behind the point
        )


@check
def loss_gradient(answer):
    """Without ignored targets, then with them, then with large logits."""
    logits = torch.randn(2, 4, VOCABULARY_SIZE)
    targets = torch.tensor([[7, 0, 20, 119], [3, 7, 55, 20]])
    _require_gradient(answer, logits, targets, "without ignored targets")
    targets = torch.tensor([[7, 0, 20, 119], [3, IGNORED, IGNORED, IGNORED]])
    _require_gradient(answer, logits, targets, "with ignored targets")
    large = logits.clone()
    large[0, 0, :2] = torch.tensor([1000.0, 999.0])
    value = torch.as_tensor(answer(large.clone(), targets.clone()))
    require(
        bool(value.isfinite().all()),
        "for logits of 1000 the gradient is inf or nan: take the largest score out "
        "before the exponential",
    )
    require_value(
        "the gradient for large logits", value, _true_gradient(large, targets), {}
    )


def _require_gradient(answer, logits, targets, when):
    given = logits.clone(), targets.clone()
    refused = ("cross_entropy", "nll_loss", "backward", "grad")
    with torch.no_grad(), ByHand(*refused):
        value = answer(*given)
    require(
        torch.equal(given[0], logits),
        "`logits` itself is changed, and its owner goes on with wrong numbers: work "
        "on a copy",
    )
    require(
        torch.equal(given[1], targets),
        "`targets` itself is changed, and its owner trains on wrong ones: work on a "
        "copy",
    )
    require_value(
        f"the gradient {when}",
        value,
        _true_gradient(logits, targets),
        _wrong_gradients(logits, targets),
    )


def _true_gradient(logits, targets):
    with torch.enable_grad():
        copy = logits.clone().requires_grad_()
        loss = _mean_loss(copy, targets, ignore_index=IGNORED)
        return torch.autograd.grad(loss, copy)[0]


def _wrong_gradients(logits, targets):
    """For each sentence what its mistake gives, where it makes a difference."""
    counts = (targets != IGNORED).unsqueeze(-1)
    num_counted, num_all = counts.sum(), targets.numel()
    probas = torch.softmax(logits, dim=-1)
    is_true = F.one_hot(targets.where(targets != IGNORED, 0), logits.shape[-1])
    is_true = is_true * counts
    is_indexed = F.one_hot(targets % logits.shape[-1], logits.shape[-1])
    right = (probas - is_true) * counts / num_counted
    across = [torch.softmax(logits, dim=dim) for dim in (0, 1)]
    axis = "the softmax is taken over the wrong axis: the vocabulary is the last"
    not_zero = (targets > 0).unsqueeze(-1)
    mistakes = {
        "the sign is wrong: the gradient points to where the loss grows, so it is "
        "negative for the true token": -right,
        "the gradient is that of the sum: the loss is a mean, so divide by the number "
        "of targets that count": right * num_counted,
        "the minus one is missing: the true token's gradient is its probability minus "
        "one": probas * counts / num_counted,
        "only the true tokens have a gradient: the others are pushed too, by their "
        "probability": (probas - is_true) * is_true / num_counted,
        "the true token's probability is lost: subtract one from it, do not put -1 in "
        "its place": (probas * (1 - is_true) - is_true) * counts / num_counted,
        "the one is subtracted from all tokens: only the true one has it": (
            (probas - 1) * counts / num_counted
        ),
        "only the probabilities are divided by the number of targets: the one that is "
        "subtracted has to be, too": (probas / num_counted - is_true) * counts,
        "the division is also by the size of the vocabulary: the mean is over tokens": (
            right / logits.shape[-1]
        ),
        "the division is by the number of rows: the mean is over tokens": (
            right * num_counted / len(logits)
        ),
        f"{axis}, not that of the tokens": (across[1] - is_true) * counts / num_counted,
        f"{axis}, not that of the rows": (across[0] - is_true) * counts / num_counted,
        "logits stand where probabilities belong: take the softmax": (
            (logits - is_true) * counts / num_counted
        ),
    }
    if num_counted == num_all:
        return mistakes | {
            "token 0 is taken for a target that does not count: only -100 is": (
                (probas - is_true) * not_zero / not_zero.sum()
            ),
        }
    return mistakes | {
        "-100 is taken for an index, and counts from the end of the vocabulary: such a "
        "position gets no gradient, and does not count": (
            (probas - is_indexed) / num_all
        ),
        "-100 is taken for an index, and counts from the end of the vocabulary: such a "
        "position gets no gradient": (probas - is_indexed) / num_counted,
        "the division is by all targets: those of -100 do not count in the mean": (
            right * num_counted / num_all
        ),
        "a position with the target -100 keeps its probabilities: its gradient is 0": (
            (probas - is_true) / num_counted
        ),
        "a position with the target -100 keeps its probabilities and is counted: its "
        "gradient is 0, and the division is by the others": (
            (probas - is_true) / num_all
        ),
        "-100 is replaced by a token, which is then learned: set the gradient of such "
        "a position to 0": (probas - F.one_hot(targets.clamp(min=0), logits.shape[-1]))
        / num_counted,
        "-100 is replaced by a token, which is then learned and counted: set the "
        "gradient of such a position to 0, and divide by the others": (
            probas - F.one_hot(targets.clamp(min=0), logits.shape[-1])
        )
        / num_all,
    }
