"""The one training loop.

`TrainingRun.steps()` is a generator: it makes one optimizer step, evaluates and saves
where that is due, and yields a `StepRecord`. Whoever drives it decides what to show:
`pretrain_model` prints, the command line draws a progress bar.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from llm_helpers.checkpoint import (
    list_checkpoints,
    load_checkpoint,
    save_checkpoint,
    set_aside_checkpoints,
)
from llm_helpers.data import Vocabulary
from llm_helpers.evaluation import Evaluation, evaluate
from llm_helpers.loss import calc_loss_batch
from llm_helpers.trace import EpochEnd, StepRecord, evaluation_trace, trace


class LossHistory(NamedTuple):
    """One entry per periodic evaluation; all empty without a validation loader."""

    train_losses: list[float]  # nats per token
    val_losses: list[float]  # nats per token
    track_tokens_seen: list[int]


@dataclass(kw_only=True)
class TrainingRun:
    """Everything one run needs; the fields are `pretrain_model`'s parameters.

    Raises:
        ValueError: an argument that cannot work, named with its remedy.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    train_loader: object
    num_epochs: int
    device: torch.device | str
    eval_freq: int
    eval_iter: int
    tokenizer: Vocabulary
    start_context: str
    save_freq: int
    checkpoint_dir: str | Path
    checkpoint: int | str | None = None
    val_loader: object | None = None
    say: Callable[[str], None] = print  # for notices about the run's folder
    history: LossHistory = field(default_factory=lambda: LossHistory([], [], []))

    def __post_init__(self):
        for name in ("num_epochs", "eval_freq", "eval_iter", "save_freq"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r} must be a whole number, at least 1")
        if self.checkpoint not in (None, "latest") and not isinstance(
            self.checkpoint, int
        ):
            raise ValueError(
                f"checkpoint={self.checkpoint!r} must be a whole number, 'latest' "
                "or None"
            )
        _check_loader("train_loader", self.train_loader)
        if self.val_loader is not None:
            _check_loader("val_loader", self.val_loader)
        if not self.tokenizer.encode_ordinary(self.start_context):
            raise ValueError(
                "start_context is empty; give at least one token to continue"
            )
        _check_parameters(self.model, self.optimizer)

    def steps(self) -> Iterator[StepRecord]:
        """Train; yield a record after every optimizer step.

        Raises:
            FloatingPointError: a loss is not finite; the weights are those before it.
            OSError: a checkpoint could not be written.
        """
        self.model.to(self.device)
        self._prepare_folder()
        global_step, tokens_seen = 0, 0
        for epoch in range(self.num_epochs):
            self.model.train()
            last_batch = len(self.train_loader) - 1
            for batch, (inputs, targets) in enumerate(self.train_loader):
                loss = self._optimize(inputs, targets, global_step)
                tokens_seen += inputs.numel()
                record = StepRecord(
                    epoch,
                    batch,
                    global_step,
                    tokens_seen,
                    loss,
                    evaluation=self._evaluate_if_due(global_step, tokens_seen),
                    checkpoint=self._save_if_due(global_step),
                    epoch_end=self._end_epoch() if batch == last_batch else None,
                )
                global_step += 1
                yield record

    def _optimize(self, inputs, targets, global_step: int) -> float:
        self.optimizer.zero_grad()
        loss = calc_loss_batch(inputs, targets, self.model, self.device)
        loss_value = loss.item()
        if not math.isfinite(loss_value):
            raise FloatingPointError(
                f"the training loss is {loss_value} at step {global_step}; lower the "
                f"learning rate (now {self.optimizer.param_groups[0]['lr']}) and go on "
                f"from a checkpoint in {self.checkpoint_dir}"
            )
        loss.backward()
        self.optimizer.step()
        return loss_value

    def _evaluate_if_due(self, global_step: int, tokens_seen: int) -> Evaluation | None:
        if global_step % self.eval_freq:
            return None
        evaluation = self._evaluate()
        if self.val_loader is not None:
            self.history.train_losses.append(evaluation.train_loss)
            self.history.val_losses.append(evaluation.val_loss)
            self.history.track_tokens_seen.append(tokens_seen)
        return evaluation

    def _evaluate(self) -> Evaluation:
        return evaluate(
            self.model,
            self.train_loader,
            self.val_loader,
            self.device,
            self.eval_iter,
            self.tokenizer,
            self.start_context,
        )

    def _save_if_due(self, global_step: int) -> int | None:
        return None if global_step % self.save_freq else self._save()

    def _save(self) -> int:
        self.checkpoint = next_number(self.checkpoint)
        save_checkpoint(
            self.checkpoint_dir, self.checkpoint, self.model, self.optimizer
        )
        return self.checkpoint

    def _end_epoch(self) -> EpochEnd:
        return EpochEnd(self._evaluate(), self._save())

    def _prepare_folder(self) -> None:
        """Load the checkpoint asked for; keep what newer ones would replace."""
        if self.checkpoint == "latest":
            self.checkpoint = max(list_checkpoints(self.checkpoint_dir), default=None)
            if self.checkpoint is None:
                self.say(f"No checkpoint in {self.checkpoint_dir}: starting afresh.")
        if self.checkpoint is not None:
            load_checkpoint(
                self.checkpoint_dir, self.checkpoint, self.model, self.optimizer
            )
            self.say(
                f"Checkpoint {self.checkpoint:06d} holds weights and optimizer; its "
                "position in the data is unknown. "
                f"Training {self.num_epochs} epochs from there."
            )
        after = -1 if self.checkpoint is None else self.checkpoint
        aside = set_aside_checkpoints(self.checkpoint_dir, after)
        if aside is not None:
            self.say(f"Checkpoints of an earlier run were moved to {aside}.")


def pretrain_model(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train_loader,
    num_epochs: int,
    device: torch.device | str,
    eval_freq: int,
    eval_iter: int,
    tokenizer: Vocabulary,
    start_context: str,
    save_freq: int,
    checkpoint_dir: str | Path,
    checkpoint: int | str | None = None,
    val_loader=None,
    *,
    print_freq: int = 1,
) -> LossHistory:
    """Train a model on next-token prediction and print what happens.

    Evaluating, sampling and saving leave the trained weights bit-identical.

    Args:
        model: maps token ids (B, T) to logits (B, T, V).
        optimizer: over the model's parameters; the course uses AdamW with a learning
            rate of 6e-4 and a weight decay of 0.1 (Loshchilov & Hutter 2019).
        train_loader: yields (input ids, target ids), int64, each (B, T).
        num_epochs: passes over `train_loader`.
        device: where to train; the model is moved there.
        eval_freq: steps between evaluations; the first is after step 0.
        eval_iter: batches that each loss of an evaluation is the mean of.
        tokenizer: for the samples.
        start_context: the prompt of the samples.
        save_freq: steps between checkpoints; the first is after step 0.
        checkpoint_dir: where the checkpoints go, numbered from 0; created if needed.
        checkpoint: a number, or "latest", to start from its weights and optimizer.
        val_loader: as `train_loader`, of texts that are not trained on; without one no
            losses are evaluated.
        print_freq: steps between the lines with a batch's own loss.

    Returns:
        Three lists with an entry for each periodic evaluation: training losses,
        validation losses (nats per token) and tokens seen.

    Raises:
        ValueError: an argument that cannot work.
        FloatingPointError: a training loss is not finite.
        FileNotFoundError, CheckpointError: the checkpoint is not there or does not fit.
        OSError: a checkpoint could not be written.
    """
    if print_freq < 1:
        raise ValueError(f"print_freq={print_freq} must be at least 1")
    run = TrainingRun(
        model=model,
        optimizer=optimizer,
        train_loader=train_loader,
        num_epochs=num_epochs,
        device=device,
        eval_freq=eval_freq,
        eval_iter=eval_iter,
        tokenizer=tokenizer,
        start_context=start_context,
        save_freq=save_freq,
        checkpoint_dir=checkpoint_dir,
        checkpoint=checkpoint,
        val_loader=val_loader,
    )
    for record in run.steps():
        for line in trace(record, print_freq):
            print(line)
    return run.history


def val_and_save(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train_loader,
    val_loader,
    epoch: int,
    global_step: int,
    eval_freq: int,
    eval_iter: int,
    start_context: str,
    tokenizer: Vocabulary,
    save_freq: int,
    checkpoint_dir: str | Path,
    checkpoint: int | None,
    device: torch.device | str,
) -> tuple[int | None, float | None, float | None]:
    """For a loop of one's own: evaluate, print and save where `global_step` says so.

    Args:
        checkpoint: number of the newest checkpoint; None before the first.

        The others are `pretrain_model`'s.

    Returns:
        (number of the newest checkpoint, training loss, validation loss); the losses
        are None where no evaluation was due or there is no validation loader.
    """
    train_loss = val_loss = None
    if global_step % eval_freq == 0:
        evaluation = evaluate(
            model, train_loader, val_loader, device, eval_iter, tokenizer, start_context
        )
        train_loss, val_loss, _ = evaluation
        for line in evaluation_trace(epoch, global_step, evaluation):
            print(line)
    if global_step % save_freq == 0:
        checkpoint = next_number(checkpoint)
        save_checkpoint(checkpoint_dir, checkpoint, model, optimizer)
    return checkpoint, train_loss, val_loss


def next_number(checkpoint: int | None) -> int:
    """Checkpoints are numbered 0, 1, 2, ..."""
    return 0 if checkpoint is None else checkpoint + 1


def _check_loader(name: str, loader) -> None:
    if len(loader) == 0:
        raise ValueError(
            f"{name} is empty: its texts fill no batch; "
            "add text, lower batch_size or context_len, or set drop_last=False"
        )


def _check_parameters(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not held.intersection(map(id, model.parameters())):
        raise ValueError(
            "the optimizer holds none of the model's parameters; "
            "make it with model.parameters() of this very model"
        )
