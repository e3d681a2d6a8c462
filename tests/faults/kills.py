"""Kill -9 at random moments of a run that saves after every step, then go on."""

import multiprocessing
import random
import time
from pathlib import Path
from typing import NamedTuple

import torch
from played import play
from tiny import same

import llm_helpers.training
from llm_helpers import checkpoint_path, list_checkpoints, read_state
from llm_helpers.checkpoint_folder import incomplete_checkpoints

LAST = 23  # 21 steps and 3 epochs, from 0
# Every process is a fork of a server that has imported PyTorch and run nothing of it.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["llm_helpers", "torch._dynamo"])  # what AdamW needs


class Attempt(NamedTuple):
    """One kill and what became of it."""

    in_a_save: bool  # it fell inside `save_checkpoint`
    left_something: bool  # temporary files, or an incomplete checkpoint
    pruning: bool  # the run kept 2 checkpoints only
    checkpoints: int  # whole ones when it was killed
    identical: bool  # weights, optimizer and lists after going on
    tidy: bool  # no temporary file is left


def attempts(folder: Path, num_kills: int, seed: int = 0):
    """Yields an `Attempt` for each of that many kills."""
    randomness = random.Random(seed)
    _start(folder / "warm-up").join()
    started = time.monotonic()
    _start(folder / "straight").join()
    duration = time.monotonic() - started
    for number in range(num_kills):
        place, keep_last = folder / f"kill-{number}", 2 if number % 2 else None
        in_a_save = None
        while in_a_save is None:  # until a kill comes before the run's end
            in_a_save = _killed(place, randomness.uniform(0, duration), keep_last)
        yield _attempt(folder / "straight", place, in_a_save, keep_last)


def _attempt(straight: Path, folder: Path, in_a_save: bool, keep_last) -> Attempt:
    whole = list_checkpoints(folder)
    left = [*folder.glob("*.tmp"), *incomplete_checkpoints(folder)]
    _start(folder, keep_last, seed=9 if whole else 1).join()
    return Attempt(
        in_a_save=in_a_save,
        left_something=bool(left),
        pruning=keep_last is not None,
        checkpoints=len(whole),
        identical=same(_end_of(folder), _end_of(straight)),
        tidy=not list(folder.glob("*.tmp")),
    )


def _end_of(folder: Path) -> list:
    """Weights, optimizer and lists that a run ended with."""
    paths = (checkpoint_path(folder, kind, LAST) for kind in ("model", "optimizer"))
    states = [torch.load(path, weights_only=True) for path in paths]
    return [*states, read_state(folder, LAST)["history"]]


def _killed(folder: Path, seconds: float, keep_last) -> bool | None:
    """Whether the kill fell into a save; None if it came too late."""
    flags = processes.RawArray("b", 2)
    process = _start(folder, keep_last, flags=flags)
    while not flags[0] and process.is_alive():
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    process.join()
    return None if process.exitcode == 0 else bool(flags[1])


def _start(folder: Path, keep_last=None, seed=1, flags=None):
    process = processes.Process(target=_train, args=(folder, keep_last, seed, flags))
    process.start()
    return process


def _train(folder: Path, keep_last, seed, flags) -> None:
    torch.set_num_threads(1)
    if flags is not None:
        _raise_a_flag_while_saving(flags)
        flags[0] = 1
    changes = dict(save_freq=1, eval_freq=7, keep_last=keep_last, checkpoint="latest")
    play(folder, seed=seed, **changes)


def _raise_a_flag_while_saving(flags) -> None:
    save_checkpoint = llm_helpers.training.save_checkpoint

    def watched(*arguments):
        flags[1] = 1
        save_checkpoint(*arguments)
        flags[1] = 0

    llm_helpers.training.save_checkpoint = watched
