"""Pretrain a GPT on a folder of texts: `python -m llm_helpers.pretrain --help`.

On several processes, of one machine or more, the same command under torchrun:
`torchrun --nproc-per-node 2 -m llm_helpers.pretrain ...`.
"""

import argparse
import os
import re
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader
from tqdm import tqdm

from llm_helpers.config import GPTConfig
from llm_helpers.data import LLMDataset, split_dataset
from llm_helpers.generation import check_settings, generate_text
from llm_helpers.gpt2_weights import load_gpt2_weights
from llm_helpers.interrupt import stop_on_signals
from llm_helpers.loss import calc_loss_loader, perplexity
from llm_helpers.memory import keep_freed_memory
from llm_helpers.model import GPTModel
from llm_helpers.optimization import (
    WarmupCosine,
    num_optimizer_steps,
    weight_decay_groups,
)
from llm_helpers.options import parse_arguments
from llm_helpers.parallel import (
    best_device,
    is_first_here,
    num_processes,
    on_first,
    process_group,
    processes_here,
    rank,
)
from llm_helpers.plotting import plot_losses
from llm_helpers.tokenizer import END_OF_TEXT_ID, load_tokenizer
from llm_helpers.trace import StepRecord, trace
from llm_helpers.training import LossHistory, TrainingRun

# What gloo and NCCL say of a process that has died.
_LOST_CONNECTION = re.compile(
    r"gloo.*(Connection (closed|reset) by peer|Broken pipe)|ncclRemoteError", re.DOTALL
)


def main(argv: list[str] | None = None) -> None:
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    args = parse_arguments(argv)
    try:
        device = _device(args.device)
        with process_group(device) as (device, restarted):
            if restarted:
                args.resume = "latest"
            _pretrain(args, device)
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"error: {error}" if is_first_here() else 1)
    except RuntimeError as error:
        if not _LOST_CONNECTION.search(str(error)):
            raise
        sys.exit(
            "error: the connection to another process was lost; torchrun with "
            "--max-restarts starts all again from the newest checkpoint"
        )


def _pretrain(args: argparse.Namespace, device: torch.device) -> None:
    check_settings(
        args.top_k,
        args.temperature,
        max_new_tokens=args.sample_tokens,
        context_size=args.context_len,
    )
    keep_freed_memory(not args.hand_memory_back)
    _set_threads(args.threads)
    torch.manual_seed(args.seed)
    tokenizer = load_tokenizer("gpt2")
    train_loader, val_loader = _loaders(args, pin_memory=device.type == "cuda")
    model = _model(args, tokenizer.n_vocab)
    if args.fsdp:
        _shard(model, device)  # and moves it, slice by slice
    model.to(device)
    run = TrainingRun(
        model=model,
        optimizer=_optimizer(model, args),
        train_loader=train_loader,
        num_epochs=args.epochs,
        device=device,
        eval_freq=args.eval_freq,
        eval_iter=args.eval_iter,
        tokenizer=tokenizer,
        start_context=args.prompt,
        save_freq=args.save_freq,
        checkpoint_dir=args.out,
        checkpoint=args.resume,
        val_loader=val_loader,
        keep_last=args.keep_last,
        keep_best=args.keep_best,
        schedule=_schedule(args, len(train_loader)),
        max_grad_norm=args.max_grad_norm,
        accumulation_steps=args.accumulation_steps,
        autocast=args.autocast,
        compile=args.compile,
        say=tqdm.write,
    )
    _announce(run, args)
    _drive(run)
    if run.finished:
        _report(run, args)


def _model(args: argparse.Namespace, vocabulary_size: int) -> GPTModel:
    if args.gpt2_weights is not None:
        return load_gpt2_weights(args.gpt2_weights, dropout=args.dropout)
    config = GPTConfig(
        embedding_dim=args.embedding_dim,
        num_layers=args.layers,
        num_heads=args.heads,
        context_len=args.context_len,
        vocabulary_size=vocabulary_size,
        dropout=args.dropout,
    )
    return GPTModel.from_config(config)


def _shard(model: GPTModel, device: torch.device) -> None:
    if not dist.is_initialized():
        raise ValueError(
            "--fsdp spreads the model over several processes; start them with "
            "torchrun --nproc-per-node 2 -m llm_helpers.pretrain --fsdp ..."
        )
    from llm_helpers.sharding import shard

    shard(model, device)


def _announce(run: TrainingRun, args: argparse.Namespace) -> None:
    num_parameters = sum(p.numel() for p in run.model.parameters())
    where = f"on {run.device.type}"
    if num_processes() > 1:
        where = f"in {num_processes()} processes {where}"
    run.say(
        f"{num_parameters:,} parameters, {len(run.train_loader)} training batches of "
        f"{args.batch_size} x {args.context_len} tokens, {args.epochs} epochs, {where}"
    )


def _optimizer(model: GPTModel, args: argparse.Namespace) -> torch.optim.AdamW:
    parameters = model.parameters()
    if args.decay_matrices_only:
        parameters = weight_decay_groups(model, args.weight_decay)
    return torch.optim.AdamW(
        parameters, lr=args.lr, weight_decay=args.weight_decay, fused=True
    )


def _schedule(args: argparse.Namespace, num_batches: int) -> WarmupCosine | None:
    if args.warmup_steps is None:
        return None
    steps_per_epoch = num_optimizer_steps(num_batches, max(1, args.accumulation_steps))
    return WarmupCosine(
        warmup_steps=args.warmup_steps,
        total_steps=args.epochs * steps_per_epoch,
        final_share=args.final_lr_share,
    )


def _device(name: str | None) -> torch.device:
    try:
        device = best_device() if name is None else torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # unknown, or not on this machine
        raise ValueError(
            f"device={name!r} cannot be used on this machine; use --device cpu"
        ) from error
    return device


def _set_threads(asked: int | None) -> None:
    """Processes of one machine share its cores; torchrun leaves each with one."""
    if asked is None and processes_here() > 1 and torch.get_num_threads() == 1:
        asked = max(1, (os.cpu_count() or 1) // processes_here())
    if asked is not None:
        torch.set_num_threads(asked)


def _drive(run: TrainingRun) -> None:
    """The training loop behind a progress bar; evaluations are printed above it."""
    total = run.num_epochs * run.steps_per_epoch
    bar = tqdm(total=total, unit="step", file=sys.stderr, disable=rank() > 0)
    with stop_on_signals(run), bar:
        for record in run.steps():
            if record.evaluation:
                run.say("\n".join(trace(record)))
            if isinstance(record, StepRecord):
                bar.set_postfix(loss=f"{record.loss:.3f}", refresh=False)
            bar.update(record.global_step + 1 - bar.n)


def _report(run: TrainingRun, args: argparse.Namespace) -> None:
    loss = calc_loss_loader(run.val_loader, run.model, run.device)
    sample = generate_text(
        run.model,
        args.prompt,
        args.sample_tokens,
        run.tokenizer,
        args.context_len,
        top_k=args.top_k,
        temperature=args.temperature,
    )
    run.say(
        f"Validation loss {loss:.3f} nats per token, perplexity {perplexity(loss):,.1f}"
    )
    if rank() == 0:
        run.say(f"Loss curves: {_save_plot(run.history, run, args)}")
    run.say(f"Sample (top-k {args.top_k}, temperature {args.temperature}):\n{sample}")


def _save_plot(history: LossHistory, run: TrainingRun, args) -> Path:
    from matplotlib.figure import Figure  # without pyplot: no screen is needed

    tokens_per_epoch = len(run.train_loader) * args.batch_size * args.context_len
    epochs_seen = [tokens / tokens_per_epoch for tokens in history.track_tokens_seen]
    figure = Figure(figsize=(7, 4), layout="constrained")
    plot_losses(
        epochs_seen,
        history.track_tokens_seen,
        history.train_losses,
        history.val_losses,
        ax=figure.add_subplot(),
    )
    path = Path(args.out) / "losses.png"
    figure.savefig(path, dpi=150)
    return path


def _loaders(args: argparse.Namespace, **settings) -> tuple[DataLoader, DataLoader]:
    if args.token_cache is not None:
        on_first(lambda: bool(_datasets(args)))  # tokenised once, then opened by all
    train, val = _datasets(args)
    settings["batch_size"] = args.batch_size
    return (
        DataLoader(train, shuffle=True, drop_last=True, **settings),
        DataLoader(val, **settings),
    )


def _datasets(args: argparse.Namespace) -> tuple[LLMDataset, LLMDataset]:
    windows = ("gpt2", END_OF_TEXT_ID, args.context_len, args.context_len)
    train = LLMDataset(args.train, *windows, cache_dir=args.token_cache)
    if args.val is None:
        return split_dataset(train, args.val_fraction)
    return train, LLMDataset(args.val, *windows, cache_dir=args.token_cache)


if __name__ == "__main__":
    main()
