"""What a model can do at one moment: both losses and a sample."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from llm_helpers.data import Vocabulary
from llm_helpers.generation import generate_text
from llm_helpers.loss import calc_loss_loader

SAMPLE_TOKENS = 50


class Evaluation(NamedTuple):
    """What the model can do at one moment."""

    train_loss: float | None  # nats per token; None without a validation loader
    val_loss: float | None
    sample: str  # greedy continuation of the start context


def evaluate(
    model: nn.Module,
    train_loader,
    val_loader,
    device: torch.device | str,
    eval_iter: int,
    tokenizer: Vocabulary,
    start_context: str,
) -> Evaluation:
    """Both losses over `eval_iter` batches and a greedy sample of 50 tokens."""
    train_loss = val_loss = None
    if val_loader is not None:
        train_loss = calc_loss_loader(train_loader, model, device, eval_iter)
        val_loss = calc_loss_loader(val_loader, model, device, eval_iter)
    sample = generate_text(
        model,
        start_context,
        SAMPLE_TOKENS,
        tokenizer,
        context_size=_context_len(model, SAMPLE_TOKENS),
        top_k=1,
        compact_format=True,
    )
    return Evaluation(train_loss, val_loss, sample)


def _context_len(model: nn.Module, otherwise: int) -> int:
    """A GPT's context; another model reads as much as a sample is long."""
    weight = getattr(getattr(model, "pos_emb", None), "weight", None)
    return otherwise if weight is None else weight.shape[0]
