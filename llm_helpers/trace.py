"""The records of a training run, the lines they print, and the log they leave."""

from __future__ import annotations

from typing import NamedTuple

from llm_helpers.evaluation import Evaluation

RULE = "=" * 69


class StepRecord(NamedTuple):
    """One optimizer step and what followed it."""

    epoch: int  # from 0
    batch: int  # in the epoch, from 0
    global_step: int  # from 0, over all epochs
    tokens_seen: int  # inputs so far, this step's included
    loss: float  # of this batch before the step, nats per token
    evaluation: Evaluation | None  # where global_step % eval_freq == 0
    checkpoint: int | None  # number written where global_step % save_freq == 0


class EpochRecord(NamedTuple):
    """What happened once more after an epoch's last step."""

    epoch: int  # from 0
    global_step: int  # of the last step
    tokens_seen: int
    evaluation: Evaluation
    checkpoint: int  # number written


class LoggedEvaluation(NamedTuple):
    """One evaluation, periodic or at an epoch's end."""

    global_step: int  # from 0
    tokens_seen: int
    train_loss: float | None  # nats per token; None without a validation loader
    val_loss: float | None
    sample: str
    checkpoint: int | None  # number written at the same moment


class RunLog(NamedTuple):
    """What a run has shown so far; its checkpoints keep it, for charts and explorers.

    Entry i of the first two lists belongs to optimizer step i.
    """

    tokens_seen: list[int]  # after the step
    batch_losses: list[float]  # of the step's batch, before the step, nats per token
    evaluations: list[LoggedEvaluation]  # in order

    @classmethod
    def from_state(cls, state: dict) -> RunLog:
        """A checkpoint's log; one from before there were logs has unknown losses."""
        log = state.get("log")
        if log is None:
            unknown = [float("nan")] * state["position"]["global_step"]
            return cls(unknown, list(unknown), [])
        evaluations = [LoggedEvaluation(*entry) for entry in log["evaluations"]]
        return cls(log["tokens_seen"], log["batch_losses"], evaluations)

    def as_state(self) -> dict:
        """Plain lists and tuples, for a checkpoint."""
        return self._asdict() | {"evaluations": [tuple(e) for e in self.evaluations]}


def trace(record: StepRecord | EpochRecord, print_freq: int = 1) -> list[str]:
    """The lines that a record prints."""
    epoch, step, lines = record.epoch + 1, record.global_step, []
    if isinstance(record, StepRecord) and step % print_freq == 0:
        place = f"Epoch {epoch} (Batch {record.batch:06d})"
        lines.append(f"{place}: Train loss {record.loss:.3f}")
    if record.evaluation:
        lines += evaluation_trace(record.epoch, step, record.evaluation)
    if isinstance(record, EpochRecord):
        lines.append(f"Epoch {epoch} finished, checkpoint: {record.checkpoint:06d}")
    return lines


def evaluation_trace(epoch: int, global_step: int, evaluation: Evaluation) -> list[str]:
    """The lines that an evaluation prints."""
    lines = [f"Generated Sample Text: {evaluation.sample}", RULE]
    if evaluation.val_loss is not None:
        place = f"Epoch {epoch + 1} (Step {global_step:06d})"
        losses = f"{evaluation.train_loss:.3f}, Val loss {evaluation.val_loss:.3f}"
        lines.insert(0, f"{place}: Train loss {losses}")
    return lines
