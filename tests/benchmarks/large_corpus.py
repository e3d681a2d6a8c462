"""A corpus on disk: tokenising, loading, and training at constant memory.

python tests/benchmarks/large_corpus.py [--gigabytes 1] [--folder FOLDER]

Writes stories of the course's grammar until the corpus has its size, in one file. Then
a process of its own makes a dataset with a token cache, opens it once more, and trains
a small model on it for 100 steps; its peak memory is reported, mapped pages included.
Beside it, on a 20 MB part: tokenising in one thread, and loading from memory and from
the mapped file.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import torch
from results import machine, record
from torch.utils.data import DataLoader

from llm_helpers import GPTModel, LLMDataset, TrainingRun, load_tokenizer, tern_haven
from llm_helpers.memory import keep_freed_memory

CONTEXT_LEN, BATCH_SIZE, NUM_STEPS = 128, 4, 100
PART_BYTES = 20_000_000
PEAK_LIMIT_GB = 2.0


def main() -> None:
    args = _parse()
    if args.train:
        print(json.dumps(train(*args.train)))
        return
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        folder = Path(name)
        megabytes = write_corpus(folder / "corpus.txt", args.gigabytes * 1e9) / 1e6
        command = [sys.executable, __file__, "--train", folder / "corpus.txt", folder]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        figures = json.loads(result.stdout.splitlines()[-1])
        figures["tokenising_mb_per_s"] = round(megabytes / figures["tokenising_s"], 2)
        figures |= compare_on_a_part(folder)
    figures = {"gigabytes": round(megabytes / 1e3, 2), **figures}
    print(f"{machine()}\n{json.dumps(figures, indent=2)}")
    record(large_corpus=figures)
    sys.exit(figures["peak_gb"] > PEAK_LIMIT_GB)


def write_corpus(path: Path, num_bytes: float) -> int:
    """Stories, different ones, until the file has that many bytes; its size."""
    haven, generator = tern_haven(), torch.Generator().manual_seed(1)
    stories = [haven.tokenizer.decode(s) for s in islice(haven.documents(seed=1), 2000)]
    size = 0
    with open(path, "w", encoding="utf-8") as file:
        while size < num_bytes:
            order = torch.randperm(len(stories), generator=generator).tolist()
            size += file.write("\n\n".join(stories[i] for i in order) + "\n\n")
    return size


def train(corpus: str, folder: str) -> dict:
    """Tokenise, reopen, train; runs in a process of its own."""
    keep_freed_memory()
    windows = ("gpt2", 50256, CONTEXT_LEN, CONTEXT_LEN)
    started = time.perf_counter()
    LLMDataset(corpus, *windows, cache_dir=folder)
    tokenised = time.perf_counter()
    dataset = LLMDataset(corpus, *windows, cache_dir=folder)
    reopened = time.perf_counter()
    model = GPTModel(128, 4, 4, CONTEXT_LEN, 50257, 0.0, False)
    run = TrainingRun(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters(), lr=6e-4, fused=True),
        train_loader=DataLoader(dataset, BATCH_SIZE, shuffle=True, drop_last=True),
        num_epochs=1,
        device="cpu",
        eval_freq=NUM_STEPS,
        eval_iter=1,
        tokenizer=load_tokenizer(),
        start_context="In",
        save_freq=NUM_STEPS,
        checkpoint_dir=Path(folder) / "run",
        say=lambda line: None,
    )
    losses = []
    for record_of_step in run.steps():
        losses.append(record_of_step.loss)
        if len(losses) == NUM_STEPS:
            break
    return {
        "million_tokens": round(len(dataset.tokens) / 1e6, 1),
        "tokenising_s": round(tokenised - started, 1),
        "opening_again_s": round(reopened - tokenised, 1),
        "training_100_steps_s": round(time.perf_counter() - reopened, 1),
        "first_and_last_loss": [round(losses[0], 3), round(losses[-1], 3)],
        "peak_gb": round(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2
        ),
    }


def compare_on_a_part(folder: Path) -> dict:
    """Tokenising in one thread; loading from memory and from the mapped file."""
    part = folder / "part.txt"
    with open(folder / "corpus.txt", encoding="utf-8") as file:
        part.write_text(file.read(PART_BYTES), encoding="utf-8")
    windows = ("gpt2", 50256, CONTEXT_LEN, CONTEXT_LEN)
    started = time.perf_counter()
    in_memory = LLMDataset(part, *windows)
    seconds = time.perf_counter() - started
    mapped = LLMDataset(part, *windows, cache_dir=folder)
    times = {"memory": [], "mapped": []}
    for _ in range(5):
        for name, dataset in (("memory", in_memory), ("mapped", mapped)):
            times[name].append(loading_seconds(dataset))
    windows_loaded = len(in_memory)
    return {
        "tokenising_one_thread_mb_per_s": round(PART_BYTES / 1e6 / seconds, 2),
        **{
            f"loading_from_{name}_windows_per_s": round(
                windows_loaded / statistics.median(seconds)
            )
            for name, seconds in times.items()
        },
    }


def loading_seconds(dataset) -> float:
    started = time.perf_counter()
    for _ in DataLoader(dataset, BATCH_SIZE, shuffle=True):
        pass
    return time.perf_counter() - started


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--folder", help="on the disk to use")
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
