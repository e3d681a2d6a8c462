"""The one training loop.

`TrainingRun.steps()` is a generator: it makes one optimizer step, evaluates and saves
where that is due, and yields a record. Whoever drives it decides what to show:
`pretrain_model` prints, the command line draws a progress bar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from llm_helpers.checkpoint import save_checkpoint
from llm_helpers.checkpoint_folder import (
    INTERRUPTED,
    prune_checkpoints,
    remove_interrupted,
)
from llm_helpers.data import Vocabulary
from llm_helpers.evaluation import Evaluation, evaluate
from llm_helpers.optimization import (
    describe_habits,
    make_scheduler,
    num_optimizer_steps,
    optimizer_step,
)
from llm_helpers.parallel import from_all, in_any, num_processes, on_first, rank, wrap
from llm_helpers.resume import load_position, make_way
from llm_helpers.run_checks import check_arguments
from llm_helpers.run_state import (
    Position,
    describe_run,
    epoch_batches,
    rng_state,
)
from llm_helpers.trace import EpochRecord, LoggedEvaluation, RunLog, StepRecord


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
    keep_last: int | None = None
    keep_best: bool = False
    schedule: Callable[[int], float] | None = None
    max_grad_norm: float | None = None
    accumulation_steps: int = 1
    autocast: bool = False
    compile: bool = False
    say: Callable[[str], None] = print  # for notices about the run's folder

    # What the run makes of it; saved in its checkpoints.
    history: LossHistory = field(init=False)
    log: RunLog = field(init=False, repr=False)
    position: Position = field(init=False, default_factory=Position)
    best: tuple[int, float] | None = field(init=False, default=None)
    stop_requested: bool = field(init=False, default=False)
    saved_rng: dict | None = field(init=False, default=None, repr=False)

    def __post_init__(self):
        self.history = LossHistory([], [], [])
        self.log = RunLog([], [], [])
        check_arguments(self)
        if rank() > 0:
            self.say = lambda line: None

    def steps(self) -> Iterator[StepRecord | EpochRecord]:
        """Train; yield a record after every optimizer step and every epoch.

        Setting `stop_requested` ends the run after the current step with a checkpoint
        from which "latest" continues it exactly.

        Raises:
            FloatingPointError: a loss is not finite; the weights are those before it.
            FileNotFoundError, CheckpointError: the checkpoint asked for does not serve.
            OSError: a checkpoint could not be written.
        """
        self.device = torch.device(self.device)
        self.model.to(self.device)
        self.description = describe_run(self.model, self.optimizer, self.train_loader)
        self.description |= describe_habits(self)
        loaded = load_position(self)
        if self.finished:
            self.say(f"This run has finished its {self.num_epochs} epochs.")
            return
        self.scheduler = make_scheduler(
            self.optimizer, self.schedule, self.position.global_step
        )
        self.trained_model = wrap(self.model, self.device, self.compile)
        on_first(make_way, self, loaded)
        yield from self._train_epoch()  # a stop asked for while loading comes later
        while not (self.finished or self._is_to_stop()):
            yield from self._train_epoch()
        if not self.finished:
            self._save(INTERRUPTED)
            self.say(
                f"Interrupted after {self.position.global_step} steps and saved; "
                'go on with checkpoint="latest" (on the command line: --resume).'
            )

    @property
    def finished(self) -> bool:
        return self.position.epoch >= self.num_epochs

    @property
    def steps_per_epoch(self) -> int:
        return num_optimizer_steps(len(self.train_loader), self.accumulation_steps)

    def _train_epoch(self) -> Iterator[StepRecord | EpochRecord]:
        self.model.train()
        position, num_batches = self.position, len(self.train_loader)
        saved, self.saved_rng = self.saved_rng, None
        batches, self._epoch_rng = epoch_batches(
            self.train_loader, position.batch, self.device, saved
        )
        while position.batch < num_batches:
            group = self._next_batches(batches, num_batches)
            if position.batch + len(group) == num_batches:
                next(batches, None)  # a sampler may draw once more where it ends
            loss = optimizer_step(self, group)
            position.batch += len(group)
            position.global_step += 1
            position.tokens_seen += sum(inputs.numel() for inputs, _ in group)
            yield self._after_step(loss)
            if self._is_to_stop():
                return
        yield self._after_epoch()

    def _is_to_stop(self) -> bool:
        """Asked of one process, it holds for all: each has to make the same steps."""
        agreed = in_any(self.stop_requested)
        self.stop_requested |= agreed  # a signal may come while they agree
        return agreed

    def _next_batches(self, batches: Iterator, num_batches: int) -> list:
        """The batches of one optimizer step; the epoch's last step may have fewer."""
        count = min(self.accumulation_steps, num_batches - self.position.batch)
        group = list(islice(batches, count))
        if len(group) < count:
            raise ValueError(
                f"train_loader has a length of {num_batches} batches and ended after "
                f"{self.position.batch + len(group)}; give its dataset its true length"
            )
        return group

    def _after_step(self, loss: float) -> StepRecord:
        position = self.position
        step = position.global_step - 1
        evaluation = None if step % self.eval_freq else self._evaluate()
        if evaluation is not None and self.val_loader is not None:
            self.history.train_losses.append(evaluation.train_loss)
            self.history.val_losses.append(evaluation.val_loss)
            self.history.track_tokens_seen.append(position.tokens_seen)
        self.log.tokens_seen.append(position.tokens_seen)
        self.log.batch_losses.append(loss)
        saving = step % self.save_freq == 0
        if evaluation is not None:
            self._log_evaluation(evaluation, saving)
        return StepRecord(
            position.epoch,
            position.batch - 1,
            step,
            position.tokens_seen,
            loss,
            evaluation,
            self._save_numbered(evaluation) if saving else None,
        )

    def _after_epoch(self) -> EpochRecord:
        position, evaluation = self.position, self._evaluate()
        self._log_evaluation(evaluation, saving=True)
        position.epoch += 1
        position.batch = 0
        return EpochRecord(
            position.epoch - 1,
            position.global_step - 1,
            position.tokens_seen,
            evaluation,
            self._save_numbered(evaluation),
        )

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

    def _log_evaluation(self, evaluation: Evaluation, saving: bool) -> None:
        """Before the checkpoint is written, so that the checkpoint keeps it."""
        number = next_number(self.checkpoint) if saving else None
        at = self.position
        entry = (at.global_step - 1, at.tokens_seen, *evaluation, number)
        self.log.evaluations.append(LoggedEvaluation(*entry))

    def _save_numbered(self, evaluation: Evaluation | None) -> int:
        """Write the next checkpoint; only then delete what is not to be kept."""
        self.checkpoint = next_number(self.checkpoint)
        loss = None if evaluation is None else evaluation.val_loss
        if loss is not None and (self.best is None or loss < self.best[1]):
            self.best = (self.checkpoint, loss)
        self._save(self.checkpoint)
        on_first(self._tidy)
        return self.checkpoint

    def _tidy(self) -> None:
        """Delete what the checkpoint just written makes superfluous."""
        remove_interrupted(self.checkpoint_dir)
        if self.keep_last is not None:
            keep = set(range(self.checkpoint - self.keep_last + 1, self.checkpoint + 1))
            if self.keep_best and self.best is not None:
                keep.add(self.best[0])
            prune_checkpoints(self.checkpoint_dir, keep)

    def _save(self, number: int | str) -> None:
        now = rng_state(self.train_loader, self.device)
        state = {
            "checkpoint": self.checkpoint,
            "position": asdict(self.position),
            "history": self.history._asdict(),
            "log": self.log.as_state(),
            "best": self.best,
            "rng_epoch": self._epoch_rng if self.position.batch else now,
            "rng": now,
            "run": self.description,
        }
        if num_processes() > 1:
            state["rng_of_processes"] = from_all(now)
        save_checkpoint(self.checkpoint_dir, number, self.model, self.optimizer, state)


def next_number(checkpoint: int | None) -> int:
    """Checkpoints are numbered 0, 1, 2, ..."""
    return 0 if checkpoint is None else checkpoint + 1
