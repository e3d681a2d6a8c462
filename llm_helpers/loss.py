"""Cross entropy of next-token prediction, in nats per token.

Shapes: B = batch, T = tokens, V = vocabulary.
"""

import math
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from llm_helpers.data import evaluation_loader
from llm_helpers.model import check_token_ids

IGNORED_TARGET = -100  # PyTorch's mark for a target that does not count


def calc_loss_batch(
    input_batch: torch.Tensor,
    target_batch: torch.Tensor,
    model: nn.Module,
    device: torch.device | str,
) -> torch.Tensor:
    """Cross entropy of one batch, as a scalar tensor that can be differentiated.

    Args:
        input_batch: token ids, int64, (B, T).
        target_batch: the ids that should follow, int64, (B, T).
        model: maps ids (B, T) to logits (B, T, V).
        device: where the model is; the batch is moved there.

    Returns:
        Mean over the B * T tokens, in nats per token.

    Raises:
        ValueError: a target is outside the vocabulary.
    """
    input_batch, target_batch = (
        batch.to(device, non_blocking=batch.is_pinned())
        for batch in (input_batch, target_batch)
    )
    logits = model(input_batch)
    try:
        return F.cross_entropy(logits.flatten(0, 1), target_batch.flatten())
    except IndexError:  # "Target ... is out of bounds"
        counted = target_batch[target_batch != IGNORED_TARGET]
        check_token_ids(counted, logits.shape[-1])
        raise


def calc_loss_loader(
    data_loader,
    model: nn.Module,
    device: torch.device | str,
    num_batches: int | None = None,
) -> float:
    """Mean cross entropy over a loader, in nats per token, in eval mode.

    The model's mode, the loader and every random number generator are left as they
    were.

    Args:
        data_loader: yields (input ids, target ids), int64, each (B, T).
        num_batches: how many batches to use; all of them when None.

    Returns:
        Mean over tokens, so that a short last batch weighs what it holds.

    Raises:
        ValueError: the loader is empty, or `num_batches` is below 1.
    """
    if num_batches is not None and num_batches < 1:
        raise ValueError(
            f"num_batches={num_batches} must be at least 1, or None for all"
        )
    total_loss, total_tokens = 0.0, 0
    with evaluation_mode(model), torch.random.fork_rng(devices=[]):
        for i, (input_batch, target_batch) in enumerate(evaluation_loader(data_loader)):
            if i == num_batches:
                break
            num_tokens = num_counted(target_batch)
            if num_tokens == 0:
                continue  # the mean over no token is nan
            loss = calc_loss_batch(input_batch, target_batch, model, device)
            total_loss += loss.item() * num_tokens
            total_tokens += num_tokens
    if total_tokens == 0:
        raise ValueError(
            "the data loader is empty, so there is no loss to average; "
            "add text, lower batch_size, or set drop_last=False"
        )
    return total_loss / total_tokens


def num_counted(targets: torch.Tensor) -> int:
    """How many of the targets count in a mean loss."""
    return int((targets != IGNORED_TARGET).sum())


def perplexity(loss_nats: float) -> float:
    """How many equally likely tokens leave the same uncertainty: exp(loss).

    Returns infinity where the exponential is beyond the largest float.
    """
    try:
        return math.exp(loss_nats)
    except OverflowError:
        return math.inf


@contextmanager
def evaluation_mode(model: nn.Module):
    """Eval mode without gradients; puts back the mode of every module on leaving."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
