"""A disk that is full: the run ends with a clear message, and can go on."""

import multiprocessing
import os
import shutil
import subprocess
from collections import namedtuple
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from played import play
from tiny import same

try:
    import resource
except ImportError:  # not POSIX
    resource = None

DISK_BYTES = 8_000_000
FILE_BYTES = 20_000  # less than an optimizer's file has


class Verdict(NamedTuple):
    """What came of a run on a full disk."""

    sentence: str  # the error; empty if there was none
    tidy: bool  # no temporary file is left
    goes_on_exactly: bool  # from the checkpoint before, once there is space


@contextmanager
def small_disk(folder: Path):
    """Mount a small disk in memory; yields whether that was possible."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder]
    try:
        mounted = subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        mounted = False
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)


def too_full_for_the_next(folder: Path) -> Verdict:
    """Less is free than a checkpoint needs."""
    return _on_a_disk_with(500_000, folder)


def filled_while_saving(folder: Path) -> Verdict:
    """Another program takes the space after the run has looked for it."""
    disk_usage = shutil.disk_usage
    usage = namedtuple("usage", "total used free")(10**9, 0, 10**9)
    shutil.disk_usage = lambda path: usage
    try:
        return _on_a_disk_with(30_000, folder)
    finally:
        shutil.disk_usage = disk_usage


def past_the_file_size_limit(folder: Path) -> Verdict:
    """The operating system refuses to let a file grow; in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_limited, args=(folder, sender))
    process.start()
    verdict = Verdict(*receiver.recv())
    process.join()
    return verdict


def _limited(folder: Path, sender) -> None:
    torch.set_num_threads(1)
    play(folder / "run", until=3)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, hard))
    sentence = _error_of_going_on(folder / "run")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    sender.send(tuple(_verdict(sentence, folder)))


def _on_a_disk_with(free_bytes: int, folder: Path) -> Verdict:
    play(folder / "run", until=3)
    filler = folder / "filler"
    status = os.statvfs(folder)
    filler.write_bytes(bytes(status.f_bavail * status.f_frsize - free_bytes))
    sentence = _error_of_going_on(folder / "run")
    filler.unlink()
    return _verdict(sentence, folder)


def _verdict(sentence: str, folder: Path) -> Verdict:
    tidy = not list((folder / "run").glob("*.tmp"))
    outcome = play(folder / "run", checkpoint="latest", seed=9)
    straight = play(folder / "straight")
    return Verdict(sentence, tidy, same(outcome["weights"], straight["weights"]))


# On the small disk, if one can be mounted; the last is for any disk.
CASES = {
    "too full for the next checkpoint": too_full_for_the_next,
    "filled up while saving": filled_while_saving,
    "past the limit of a file's size": past_the_file_size_limit,
}


def _error_of_going_on(folder: Path) -> str:
    try:
        play(folder, checkpoint="latest", seed=8)
    except OSError as error:
        return str(error)
    return ""
