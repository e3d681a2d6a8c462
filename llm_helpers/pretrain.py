"""Pretrain a GPT on a folder of texts: `python -m llm_helpers.pretrain --help`."""

import argparse
import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from llm_helpers.config import GPTConfig
from llm_helpers.data import LLMDataset, split_dataset
from llm_helpers.generation import check_settings, generate_text
from llm_helpers.interrupt import stop_on_signals
from llm_helpers.loss import calc_loss_loader, perplexity
from llm_helpers.memory import keep_freed_memory
from llm_helpers.model import GPTModel
from llm_helpers.optimization import (
    WarmupCosine,
    num_optimizer_steps,
    weight_decay_groups,
)
from llm_helpers.paths import DATA_DIR
from llm_helpers.plotting import plot_losses
from llm_helpers.tokenizer import END_OF_TEXT_ID, load_tokenizer
from llm_helpers.trace import StepRecord, trace
from llm_helpers.training import LossHistory, TrainingRun


def main(argv: list[str] | None = None) -> None:
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    args = _parse(argv)
    try:
        _pretrain(args)
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"error: {error}")


def _pretrain(args: argparse.Namespace) -> None:
    _check_device(args.device)
    check_settings(
        args.top_k,
        args.temperature,
        max_new_tokens=args.sample_tokens,
        context_size=args.context_len,
    )
    keep_freed_memory(not args.hand_memory_back)
    torch.manual_seed(args.seed)
    tokenizer = load_tokenizer("gpt2")
    train_loader, val_loader = _loaders(args)
    config = GPTConfig(
        embedding_dim=args.embedding_dim,
        num_layers=args.layers,
        num_heads=args.heads,
        context_len=args.context_len,
        vocabulary_size=tokenizer.n_vocab,
        dropout=args.dropout,
    )
    model = GPTModel.from_config(config)
    run = TrainingRun(
        model=model,
        optimizer=_optimizer(model, args),
        train_loader=train_loader,
        num_epochs=args.epochs,
        device=args.device,
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
        say=tqdm.write,
    )
    num_parameters = sum(p.numel() for p in model.parameters())
    print(
        f"{num_parameters:,} parameters, {len(train_loader)} training batches of "
        f"{args.batch_size} x {args.context_len} tokens, {args.epochs} epochs"
    )
    _drive(run)
    if run.finished:
        _report(run, args)


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


def _check_device(device: str) -> None:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # unknown, or not on this machine
        raise ValueError(
            f"device={device!r} cannot be used on this machine; use --device cpu"
        ) from error


def _drive(run: TrainingRun) -> None:
    """The training loop behind a progress bar; evaluations are printed above it."""
    total = run.num_epochs * run.steps_per_epoch
    with stop_on_signals(run), tqdm(total=total, unit="step", file=sys.stderr) as bar:
        for record in run.steps():
            if record.evaluation:
                tqdm.write("\n".join(trace(record)), file=sys.stdout)
            if isinstance(record, StepRecord):
                bar.set_postfix(loss=f"{record.loss:.3f}", refresh=False)
            bar.update(record.global_step + 1 - bar.n)


def _report(run: TrainingRun, args: argparse.Namespace) -> None:
    loss = calc_loss_loader(run.val_loader, run.model, run.device)
    print(
        f"Validation loss {loss:.3f} nats per token, perplexity {perplexity(loss):,.1f}"
    )
    print(f"Loss curves: {_save_plot(run.history, run, args)}")
    sample = generate_text(
        run.model,
        args.prompt,
        args.sample_tokens,
        run.tokenizer,
        args.context_len,
        top_k=args.top_k,
        temperature=args.temperature,
    )
    print(f"Sample (top-k {args.top_k}, temperature {args.temperature}):\n{sample}")


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


def _loaders(args: argparse.Namespace) -> tuple[DataLoader, DataLoader]:
    train, val = _datasets(args)
    return (
        DataLoader(train, batch_size=args.batch_size, shuffle=True, drop_last=True),
        DataLoader(val, batch_size=args.batch_size),
    )


def _datasets(args: argparse.Namespace) -> tuple[LLMDataset, LLMDataset]:
    windows = ("gpt2", END_OF_TEXT_ID, args.context_len, args.context_len)
    train = LLMDataset(args.train, *windows, cache_dir=args.token_cache)
    if args.val is None:
        return split_dataset(train, args.val_fraction)
    return train, LLMDataset(args.val, *windows, cache_dir=args.token_cache)


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m llm_helpers.pretrain",
        description="Pretrain a GPT on a folder of UTF-8 .txt files. Writes "
        "checkpoints and a loss plot; prints losses and samples.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    text = parser.add_argument_group("texts")
    text.add_argument("--train", default=str(DATA_DIR / "en" / "train"), help="folder")
    text.add_argument(
        "--val", help="folder; without it, the end of --train is kept apart"
    )
    text.add_argument(
        "--val-fraction", type=float, default=0.1, help="share kept apart without --val"
    )
    text.add_argument("--prompt", default="In Tern Haven,", help="start of the samples")
    text.add_argument(
        "--token-cache",
        metavar="FOLDER",
        help="keep the tokens there, on disk, for texts larger than memory",
    )
    model = parser.add_argument_group("model")
    model.add_argument("--embedding-dim", type=int, default=128)
    model.add_argument("--layers", type=int, default=4)
    model.add_argument("--heads", type=int, default=4)
    model.add_argument("--context-len", type=int, default=128, help="tokens")
    model.add_argument("--dropout", type=float, default=0.1)
    loop = parser.add_argument_group("training")
    loop.add_argument("--epochs", type=int, default=10)
    loop.add_argument("--batch-size", type=int, default=8, help="windows")
    loop.add_argument("--lr", type=float, default=6e-4, help="learning rate")
    loop.add_argument("--weight-decay", type=float, default=0.1)
    loop.add_argument(
        "--decay-matrices-only",
        action="store_true",
        help="no weight decay for biases and layer norms",
    )
    loop.add_argument(
        "--warmup-steps",
        type=int,
        metavar="N",
        help="let the learning rate rise over N steps, then fall along a cosine; "
        "without it, it is constant",
    )
    loop.add_argument(
        "--final-lr-share", type=float, default=0.1, help="where the cosine ends"
    )
    loop.add_argument("--max-grad-norm", type=float, help="clip larger gradients")
    loop.add_argument(
        "--accumulation-steps", type=int, default=1, help="batches per optimizer step"
    )
    loop.add_argument(
        "--autocast", action="store_true", help="matrix products in bfloat16"
    )
    loop.add_argument("--seed", type=int, default=123)
    loop.add_argument("--device", default="cpu")
    loop.add_argument(
        "--hand-memory-back",
        action="store_true",
        help="give freed memory back after each step (slower; for shared machines)",
    )
    loop.add_argument("--eval-freq", type=int, default=20, help="steps")
    loop.add_argument("--eval-iter", type=int, default=2, help="batches")
    output = parser.add_argument_group("output")
    output.add_argument("--out", default="runs/pretrain", help="checkpoint folder")
    output.add_argument("--save-freq", type=int, default=200, help="steps")
    output.add_argument(
        "--resume",
        type=lambda value: value if value == "latest" else int(value),
        nargs="?",
        const="latest",
        metavar="N",
        help="continue from checkpoint N in --out; from the newest without a number",
    )
    output.add_argument(
        "--keep-last", type=int, help="checkpoints to keep; without it all are kept"
    )
    output.add_argument(
        "--keep-best", action="store_true", help="keep the best checkpoint, too"
    )
    output.add_argument("--sample-tokens", type=int, default=100)
    output.add_argument("--top-k", type=int, default=20)
    output.add_argument("--temperature", type=float, default=0.8)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
