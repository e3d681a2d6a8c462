"""Kill -9 one of two processes at random moments; torchrun starts both again.

The run is `python -m llm_helpers.pretrain`, shuffled and with dropout, and is not told
to resume. It saves after every second step.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import torch
from tiny import same

from llm_helpers import (
    GPTConfig,
    GPTModel,
    list_checkpoints,
    load_checkpoint,
    read_state,
)
from llm_helpers.checkpoint_folder import incomplete_checkpoints
from llm_helpers.tokenizer import load_tokenizer

ROOT = Path(__file__).parents[2]
SIZES = dict(embedding_dim=16, num_layers=1, num_heads=2, context_len=32)
SETTINGS = (
    *("--embedding-dim", "16", "--layers", "1", "--heads", "2", "--context-len", "32"),
    *("--dropout", "0.1", "--batch-size", "4", "--epochs", "3", "--eval-freq", "7"),
    *("--eval-iter", "1", "--save-freq", "2", "--sample-tokens", "5"),
    *("--device", "cpu", "--threads", "1"),
)
STARTED_AGAIN = re.compile("^(Continuing from|No checkpoint in) ", re.MULTILINE)


class Attempt(NamedTuple):
    """One kill and what became of it."""

    rank: int  # the process that was killed
    fsdp: bool  # it held a slice of the weights, not a copy
    in_a_save: bool  # temporary files were there when it was killed
    pruning: bool  # the run kept 2 checkpoints only
    checkpoints: int  # whole ones when it was killed
    restarts: int  # times that torchrun started both again
    identical: bool  # weights, optimizer, all losses and samples at the end
    plain: bool  # nobody saw a traceback
    told: bool  # the process left alone said what had happened


class Run:
    """The command line in two processes under torchrun."""

    def __init__(self, folder: Path, *changes):
        self.folder = folder
        self.errors_path = folder.with_name(f"{folder.name}.stderr")
        texts = _texts_beside(folder)
        torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        pretrain = ("-m", "llm_helpers.pretrain", "--train", texts, "--out", folder)
        with open(self.errors_path, "w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *torchrun, "--max-restarts", "3"]
                + [str(word) for word in (*pretrain, *SETTINGS, *changes)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
                env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
            )
        self.printed = ""

    def wait_for(self, start_of_a_line: str) -> float:
        """Read on until such a line is printed; returns when that was."""
        for line in self.process.stdout:
            self.printed += line
            if line.startswith(start_of_a_line):
                return time.monotonic()
        raise RuntimeError(f"{start_of_a_line!r} never came: {self.errors}")

    def ranks(self) -> dict[int, psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        return {int(child.environ()["RANK"]): child for child in children}

    def end(self, timeout: float = 120) -> int:
        """Wait for the run's end; returns the exit code of torchrun."""
        try:
            self.printed += self.process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            for process in (*self.ranks().values(), self.process):
                process.kill()
            self.printed += self.process.communicate()[0]
            raise
        return self.process.returncode

    @property
    def errors(self) -> str:
        return self.errors_path.read_text(encoding="utf-8")


def straight(folder: Path, *changes) -> tuple[list, float]:
    """What an undisturbed run ends with, and the seconds that it trained."""
    run = Run(folder, *changes)
    started = run.wait_for("This run writes")
    seconds = run.wait_for("Validation loss") - started
    run.end()
    return end_of(folder), seconds


def end_of(folder: Path) -> list:
    """Weights, optimizer, all losses and all samples of a run, whole."""
    config = GPTConfig(**SIZES, vocabulary_size=load_tokenizer("gpt2").n_vocab)
    model = GPTModel.from_config(config)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    last = list_checkpoints(folder)[-1]
    load_checkpoint(folder, last, model, optimizer)
    state = read_state(folder, last)
    traces = [state[name] for name in ("position", "history", "log")]
    return [last, dict(model.state_dict()), optimizer.state_dict(), *traces]


def attempts(folder: Path, num_kills: int, seed: int = 0):
    """Yields an `Attempt` for each of that many kills, DDP and FSDP in turn."""
    randomness = random.Random(seed)
    ends = {}
    for number in range(num_kills):
        parallel = ["--fsdp"] if number % 2 else []
        keep = ["--keep-last", "2"] if number % 4 > 1 else []
        if number < 2:
            place = folder / f"straight-{number}"
            ends[number], seconds = straight(place, *parallel)
            shutil.rmtree(place)
            ends["seconds", number] = seconds
        attempt = None
        while attempt is None:  # until a kill comes before the run's end
            moment = randomness.uniform(0, ends["seconds", number % 2])
            place, rank = folder / f"rank-kill-{number}", randomness.randrange(2)
            run = Run(place, *parallel, *keep)
            attempt = _attempt(run, rank, moment, ends[number % 2])
            shutil.rmtree(place)
        yield attempt


def _attempt(run: Run, rank: int, seconds: float, end: list) -> Attempt | None:
    """None if the kill came too late."""
    run.wait_for("This run writes")
    time.sleep(seconds)
    try:
        in_a_save, whole = _kill(run, rank)
    except (psutil.NoSuchProcess, KeyError):
        run.end()
        return None
    if run.end() == 0 and not STARTED_AGAIN.search(run.printed):
        return None
    return Attempt(
        rank=rank,
        fsdp="--fsdp" in run.process.args,
        in_a_save=in_a_save,
        pruning="--keep-last" in run.process.args,
        checkpoints=whole,
        restarts=len(STARTED_AGAIN.findall(run.printed)),
        identical=same(end_of(run.folder), end),
        plain="Traceback" not in run.errors,
        told=run.errors.count("error: the connection to another process was lost") == 1,
    )


def _kill(run: Run, rank: int) -> tuple[bool, int]:
    """Kill a rank; returns what it was at: whether in a save, whole checkpoints."""
    ranks = run.ranks()
    for process in ranks.values():
        process.suspend()  # both stand still while their folder is looked at
    left = [*run.folder.glob("*.tmp"), *incomplete_checkpoints(run.folder)]
    whole = len(list_checkpoints(run.folder))
    ranks.pop(rank).kill()
    for process in ranks.values():
        process.resume()
    return bool(left), whole


def _texts_beside(folder: Path) -> Path:
    """14 batches of 4 windows of 32 tokens, no two alike, and some to validate on."""
    texts = folder.with_name("texts")
    texts.mkdir(exist_ok=True, parents=True)
    sentences = [
        f"In year {year} the ferry crossed {year * 7 % 31} times for {year * 9 % 97}."
        for year in range(125)
    ]
    (texts / "ferry.txt").write_text("\n".join(sentences), encoding="utf-8")
    return texts
