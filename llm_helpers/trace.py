"""The record of a training step, and the lines it prints."""

from __future__ import annotations

from typing import NamedTuple

from llm_helpers.evaluation import Evaluation

RULE = "=" * 69


class EpochEnd(NamedTuple):
    """What happens once more after an epoch's last step."""

    evaluation: Evaluation
    checkpoint: int


class StepRecord(NamedTuple):
    """One optimizer step and what followed it."""

    epoch: int  # from 0
    batch: int  # in the epoch, from 0
    global_step: int  # from 0, over all epochs
    tokens_seen: int  # inputs so far, this step's included
    loss: float  # of this batch before the step, nats per token
    evaluation: Evaluation | None  # where global_step % eval_freq == 0
    checkpoint: int | None  # number written where global_step % save_freq == 0
    epoch_end: EpochEnd | None  # after the epoch's last batch


def trace(record: StepRecord, print_freq: int = 1) -> list[str]:
    """The lines that a step prints."""
    epoch, step, lines = record.epoch, record.global_step, []
    if step % print_freq == 0:
        place = f"Epoch {epoch + 1} (Batch {record.batch:06d})"
        lines.append(f"{place}: Train loss {record.loss:.3f}")
    if record.evaluation:
        lines += evaluation_trace(epoch, step, record.evaluation)
    if record.epoch_end:
        lines += evaluation_trace(epoch, step, record.epoch_end.evaluation)
        number = record.epoch_end.checkpoint
        lines.append(f"Epoch {epoch + 1} finished, checkpoint: {number:06d}")
    return lines


def evaluation_trace(epoch: int, global_step: int, evaluation: Evaluation) -> list[str]:
    """The lines that an evaluation prints."""
    lines = [f"Generated Sample Text: {evaluation.sample}", RULE]
    if evaluation.val_loss is not None:
        losses = f"{evaluation.train_loss:.3f}, Val loss {evaluation.val_loss:.3f}"
        lines.insert(
            0, f"Epoch {epoch + 1} (Step {global_step:06d}): Train loss {losses}"
        )
    return lines
