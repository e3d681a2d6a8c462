"""The options of `python -m llm_helpers.pretrain`."""

import argparse

from llm_helpers.config import GPT2_SIZES
from llm_helpers.paths import DATA_DIR


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
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
    model.add_argument(
        "--size",
        choices=GPT2_SIZES,
        help="one of GPT-2's sizes, for all that is not given below",
    )
    model.add_argument(
        "--gpt2-weights",
        metavar="PATH",
        help="begin with GPT-2's published weights, a model.safetensors; the size is "
        "the file's",
    )
    model.add_argument("--embedding-dim", type=int, default=128)
    model.add_argument("--layers", type=int, default=4)
    model.add_argument("--heads", type=int, default=4)
    model.add_argument("--context-len", type=int, default=128, help="tokens")
    model.add_argument("--dropout", type=float, default=0.1)
    loop = parser.add_argument_group("training")
    loop.add_argument("--epochs", type=int, default=10)
    loop.add_argument("--batch-size", type=int, default=8, help="windows in all")
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
    loop.add_argument(
        "--compile", action="store_true", help="torch.compile the model; for GPUs"
    )
    loop.add_argument("--device", help="cpu, cuda, mps; the best one without it")
    loop.add_argument("--threads", type=int, help="CPU threads of each process")
    loop.add_argument(
        "--fsdp",
        action="store_true",
        help="under torchrun: a slice of the weights in each process, not a copy",
    )
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
    size = parser.parse_known_args(argv)[0].size
    if size is not None:
        config = GPT2_SIZES[size]
        parser.set_defaults(
            embedding_dim=config.embedding_dim,
            layers=config.num_layers,
            heads=config.num_heads,
            context_len=config.context_len,
        )
    return parser.parse_args(argv)
