"""What a `TrainingRun` asks of its arguments before it begins."""

from __future__ import annotations

import torch
from torch import nn

from llm_helpers.parallel import num_processes


def check_arguments(run) -> None:
    """Raise ValueError for an argument that cannot work, with its remedy."""
    names = ["num_epochs", "eval_freq", "eval_iter", "save_freq", "accumulation_steps"]
    if run.keep_last is not None:
        names.append("keep_last")
    for name in names:
        value = getattr(run, name)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name}={value!r} must be a whole number, at least 1")
    if run.checkpoint not in (None, "latest") and not isinstance(run.checkpoint, int):
        raise ValueError(
            f"checkpoint={run.checkpoint!r} must be a whole number, 'latest' or None"
        )
    if run.max_grad_norm is not None and not run.max_grad_norm > 0:
        raise ValueError(
            f"max_grad_norm={run.max_grad_norm} must be above 0, or None not to clip"
        )
    if run.schedule is not None and not callable(run.schedule):
        raise ValueError(
            f"schedule={run.schedule!r} must be a function from the step to a share of "
            "the learning rate, for example WarmupCosine(...)"
        )
    _check_loader("train_loader", run.train_loader)
    batch_size = getattr(run.train_loader, "batch_size", None)
    if batch_size is not None and batch_size < num_processes():
        raise ValueError(
            f"a batch of {batch_size} windows has none for some of {num_processes()} "
            "processes; raise the batch size or start fewer processes"
        )
    if run.val_loader is not None:
        _check_loader("val_loader", run.val_loader)
    if not run.tokenizer.encode_ordinary(run.start_context):
        raise ValueError("start_context is empty; give at least one token to continue")
    _check_parameters(run.model, run.optimizer)


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
