"""The series' two training functions, over the one loop in `training`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from llm_helpers.checkpoint import save_checkpoint
from llm_helpers.data import Vocabulary
from llm_helpers.evaluation import evaluate
from llm_helpers.interrupt import stop_on_signals
from llm_helpers.trace import evaluation_trace, trace
from llm_helpers.training import LossHistory, TrainingRun, next_number


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
    keep_last: int | None = None,
    keep_best: bool = False,
    schedule: Callable[[int], float] | None = None,
    max_grad_norm: float | None = None,
    accumulation_steps: int = 1,
    autocast: bool = False,
    compile: bool = False,
) -> LossHistory:
    """Train a model on next-token prediction and print what happens.

    Evaluating, sampling and saving leave the trained weights bit-identical. Ctrl-C, the
    notebook's stop button and SIGTERM end the run after the step it is at, with a
    checkpoint, and the history so far is returned.

    Args:
        model: maps token ids (B, T) to logits (B, T, V).
        optimizer: over the model's parameters; the course uses AdamW with a learning
            rate of 6e-4 and a weight decay of 0.1 (Loshchilov & Hutter 2019).
        train_loader: yields (input ids, target ids), int64, each (B, T).
        num_epochs: passes over `train_loader` in the whole run, also when continued.
        device: where to train; the model is moved there.
        eval_freq: steps between evaluations; the first is after step 0.
        eval_iter: batches that each loss of an evaluation is the mean of.
        tokenizer: for the samples.
        start_context: the prompt of the samples.
        save_freq: steps between checkpoints; the first is after step 0.
        checkpoint_dir: where the checkpoints go, numbered from 0; created if needed.
        checkpoint: a number, or "latest", to continue from: to the very same weights,
            lists and lines as if the run had never stopped. Model, texts, batch size,
            optimizer and number of threads must be the same. A checkpoint of weights
            and optimizer alone starts `num_epochs` new epochs.
        val_loader: as `train_loader`, of texts that are not trained on; without one no
            losses are evaluated.
        print_freq: steps between the lines with a batch's own loss.
        keep_last: how many checkpoints to keep; older ones are deleted once a newer one
            is whole. None keeps all.
        keep_best: keep the one with the lowest validation loss, too.
        schedule: share of the learning rate at each optimizer step, counted from 0;
            `WarmupCosine(...)` is one.
        max_grad_norm: larger gradients are scaled down to this norm (Pascanu et al.
            2013).
        accumulation_steps: batches whose gradients make one optimizer step, fewer at
            an epoch's end; the step is that of one batch of all their tokens.
        autocast: compute the training loss in bfloat16 where PyTorch holds that safe;
            weights, gradients and evaluations stay float32.
        compile: let `torch.compile` make a program of the training step's model; it
            takes a minute or more, and pays on a GPU.

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
        keep_last=keep_last,
        keep_best=keep_best,
        schedule=schedule,
        max_grad_norm=max_grad_norm,
        accumulation_steps=accumulation_steps,
        autocast=autocast,
        compile=compile,
    )
    with stop_on_signals(run):
        for record in run.steps():
            for line in trace(record, print_freq):
                run.say(line)
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
    *,
    state: dict | None = None,
) -> tuple[int | None, float | None, float | None]:
    """For a loop of one's own: evaluate, print and save where `global_step` says so.

    Args:
        checkpoint: number of the newest checkpoint; None before the first.
        state: what else to save, tensors and plain values only; without it a
            checkpoint holds weights and optimizer.

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
        save_checkpoint(checkpoint_dir, checkpoint, model, optimizer, state)
    return checkpoint, train_loss, val_loss
