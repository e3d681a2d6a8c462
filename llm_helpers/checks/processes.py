"""Processes played by threads, so that one program can run a step of several.

What `torch.distributed.all_reduce` does between processes, `all_reduce` does here
between threads. Nothing is ever waited for in vain: where a process would hang, the
reader is told why.
"""

import threading
from collections.abc import Callable

import torch

from llm_helpers.checks.verdict import CheckError, require

AllReduce = Callable[[torch.Tensor], None]


def run_processes(num_processes: int, work: Callable[[int, AllReduce], object]) -> list:
    """Call `work(rank, all_reduce)` in as many threads at once.

    Returns:
        What each call returned, by rank.

    Raises:
        CheckError: a process waits in `all_reduce` for one that has finished, or the
            processes meet there with different tensors.
        Exception: what `work` itself raised first, by rank.
    """
    meeting = _Meeting(num_processes)
    results: list = [None] * num_processes
    errors: dict[int, Exception] = {}

    def play(rank):
        try:
            results[rank] = work(rank, lambda tensor: meeting.add_up(rank, tensor))
        except Exception as error:
            errors[rank] = error
        finally:
            meeting.leave()

    threads = [
        threading.Thread(target=play, args=(rank,)) for rank in range(num_processes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _raise_the_first(errors)
    return results


def _raise_the_first(errors: dict[int, Exception]) -> None:
    """An error of its own before those of processes that were left waiting by it."""
    if errors:
        in_order = [errors[rank] for rank in sorted(errors)]
        raise min(in_order, key=lambda error: isinstance(error, _LeftWaitingError))


class _LeftWaitingError(CheckError):
    """This process waits for one that will never come."""


class _Meeting:
    """Where the processes meet, once for each call of `all_reduce`."""

    def __init__(self, num_processes: int):
        self.num_processes = num_processes
        self.changed = threading.Condition()
        self.brought: dict[int, torch.Tensor] = {}  # by rank, in this round
        self.round = 0
        self.someone_left = False
        self.mismatch: str | None = None

    def add_up(self, rank: int, tensor: torch.Tensor) -> None:
        _require_tensor(tensor)
        with self.changed:
            this_round = self.round
            self.brought[rank] = tensor
            if len(self.brought) == self.num_processes:
                self._replace_by_sum()
                self.changed.notify_all()
            self.changed.wait_for(lambda: self.round > this_round or self.someone_left)
            if self.round == this_round:
                raise _LeftWaitingError(
                    "a process waits in `all_reduce` for one that has already "
                    "finished: every process has to call it equally often, also one "
                    "without rows or without a target that counts"
                )
        require(self.mismatch is None, self.mismatch or "")

    def _replace_by_sum(self) -> None:
        tensors = [self.brought[rank].detach() for rank in range(self.num_processes)]
        shapes = {tuple(tensor.shape) for tensor in tensors}
        if len(shapes) == 1:
            total = sum(tensor.clone() for tensor in tensors)
            for tensor in tensors:
                tensor.copy_(total)
        else:
            self.mismatch = (
                f"the processes meet in `all_reduce` with the shapes {sorted(shapes)}: "
                "all of them have to bring the same tensors in the same order"
            )
        self.brought = {}
        self.round += 1

    def leave(self) -> None:
        with self.changed:
            self.someone_left = True
            self.changed.notify_all()


def _require_tensor(tensor: object) -> None:
    require(
        tensor is not None,
        "`all_reduce` is given None: a parameter has no gradient before `backward`, "
        "and a process without rows has none either, so it has to bring zeros",
    )
    require(
        isinstance(tensor, torch.Tensor),
        f"`all_reduce` is given a {type(tensor).__name__}: it changes a tensor in "
        "place, which a plain number does not allow",
    )
