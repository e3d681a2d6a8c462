"""One optimizer step, and the habits that steady it: each is off until asked for."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import dataclass, is_dataclass

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from llm_helpers.loss import calc_loss_batch, num_counted
from llm_helpers.parallel import averaging, num_processes, own_rows, total, whole


@dataclass(frozen=True, kw_only=True)
class WarmupCosine:
    """The learning rate at an optimizer step, as a share of its peak.

    It rises in a straight line over `warmup_steps`, falls along half a cosine until
    `total_steps` and stays at `final_share` (Loshchilov & Hutter 2017; with warm-up,
    as GPT-3 was trained, Brown et al. 2020).

    Raises:
        ValueError: a number of steps or a share that cannot be.
    """

    warmup_steps: int
    total_steps: int
    final_share: float = 0.1

    def __post_init__(self):
        if not 0 <= self.warmup_steps < self.total_steps:
            raise ValueError(
                f"warmup_steps={self.warmup_steps} must be at least 0 and below "
                f"total_steps={self.total_steps}"
            )
        if not 0 <= self.final_share <= 1:
            raise ValueError(
                f"final_share={self.final_share} must be at least 0 and at most 1"
            )

    def __call__(self, step: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        falling = self.total_steps - self.warmup_steps
        done = min(1.0, (step - self.warmup_steps) / falling)
        cosine = (1 + math.cos(math.pi * done)) / 2  # from 1 to 0
        return self.final_share + (1 - self.final_share) * cosine


def weight_decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Parameter groups for AdamW: matrices are decayed; biases and norms are not."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]


def num_optimizer_steps(num_batches: int, accumulation_steps: int) -> int:
    """Steps of an epoch; its last one may take fewer batches."""
    return math.ceil(num_batches / accumulation_steps)


def make_scheduler(
    optimizer: torch.optim.Optimizer, schedule, steps_done: int
) -> LambdaLR | None:
    """PyTorch's scheduler for a function from step to share of the peak, if any.

    The optimizer remembers the peak as `initial_lr`, in checkpoints too; so a scheduler
    made anew for the steps already done goes on exactly.
    """
    if schedule is None:
        return None
    return LambdaLR(optimizer, schedule, last_epoch=steps_done - 1)


def describe_habits(run) -> dict:
    """What of a `TrainingRun`'s optimizer steps is not the default; plain values."""
    schedule = run.schedule
    if schedule is not None and not is_dataclass(schedule):
        schedule = getattr(schedule, "__qualname__", type(schedule).__name__)
    return {
        "schedule": None if schedule is None else str(schedule),
        "accumulation_steps": run.accumulation_steps
        if run.accumulation_steps > 1
        else None,
        "max_grad_norm": run.max_grad_norm,
        "autocast": run.autocast or None,
        "compile": run.compile or None,
    }


def optimizer_step(run, batches: list) -> float:
    """One step of a `TrainingRun` from the mean loss over its batches' tokens.

    Returns:
        That loss, before the step, in nats per token.

    Raises:
        FloatingPointError: loss or gradients are not finite; no weight was changed.
    """
    run.optimizer.zero_grad()
    num_tokens, mean = max(1, sum(num_counted(targets) for _, targets in batches)), 0.0
    for i, batch in enumerate(batches):
        inputs, targets, count = own_rows(*batch)
        last = i + 1 == len(batches)
        with averaging(run.trained_model, now=last):
            with _precision(run):
                loss = calc_loss_batch(inputs, targets, run.trained_model, run.device)
            loss = loss * (count / num_tokens)
            mean += total(loss.item())
            _check_finite(run, "training loss", mean)
            (loss * num_processes()).backward()
    if run.max_grad_norm is not None:
        parameters = [
            p for group in run.optimizer.param_groups for p in group["params"]
        ]
        norm = nn.utils.clip_grad_norm_(parameters, run.max_grad_norm)
        _check_finite(run, "gradients' norm", whole(norm).item())
    run.optimizer.step()
    if run.scheduler is not None:
        run.scheduler.step()
    return mean


def _precision(run):
    """bfloat16 in matrix products, where that is asked for; weights stay float32."""
    if run.autocast:
        return torch.autocast(run.device.type, dtype=torch.bfloat16)
    return nullcontext()


def _check_finite(run, name: str, value: float) -> None:
    if not math.isfinite(value):
        learning_rate = run.optimizer.param_groups[0]["lr"]
        raise FloatingPointError(
            f"the {name} is {value} at step {run.position.global_step}; lower the "
            f"learning rate (now {learning_rate}) and go on from a checkpoint in "
            f"{run.checkpoint_dir}"
        )
