"""Check of the exercise of lesson 01 on the gradient of the loss in the logits."""

import torch
import torch.nn.functional as F

from llm_helpers.checks.by_hand import ByHand
from llm_helpers.checks.cross_entropy_by_hand_losses import mean_loss
from llm_helpers.checks.verdict import check, require, require_value

IGNORED = -100
VOCABULARY_SIZE = 120  # above 100, so that -100 as an index raises no error


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
    try:
        with torch.no_grad(), ByHand(*refused):
            value = answer(*given)
    except (RuntimeError, IndexError) as error:
        require(
            "must be non-negative" not in str(error)
            and f"{IGNORED} is" not in str(error),
            "-100 is no token id, and nothing can be looked up with it: put a valid "
            "token in its place, and set the gradient of such a position to 0",
        )
        raise
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
        loss = mean_loss(copy, targets, ignore_index=IGNORED)
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
