"""Several processes, one run: what `torchrun` has started, and what they agree on.

Every process (a rank) reads the same batches and trains on its own rows of each; the
gradients are averaged by PyTorch's DistributedDataParallel (Li et al. 2020), which
keeps a whole model in each process, or by its FSDP, which keeps slices (`sharding`).
Without torchrun there is one process, rank 0, and nothing here does anything.
"""

from __future__ import annotations

import gc
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from llm_helpers.loss import num_counted


def best_device() -> torch.device:
    """The accelerator that PyTorch finds (CUDA, MPS, ...), else the CPU."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device(
        "cpu"
    )


@contextmanager
def process_group(device: torch.device) -> Iterator[tuple[torch.device, bool]]:
    """Join the processes that torchrun has started, if it has, until the end.

    Messages go by NCCL between GPUs and by gloo between CPUs.

    Yields:
        (this process's device, the GPU of its number where there are several; whether
        these processes had begun to train before one died and torchrun started anew).
    """
    if not dist.is_torchelastic_launched():
        yield device, False
        return
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    restarted = _join()
    yield device, in_any(restarted)
    gc.collect()  # a model that still holds the group would outlive it
    dist.destroy_process_group()  # after an error the end of the process does it


def _join() -> bool:
    """Meet the others; returns whether an earlier start had begun to train."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        dist.init_process_group()
        return int(os.environ["TORCHELASTIC_RESTART_COUNT"]) > 0
    number, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    host, kept = os.environ["MASTER_ADDR"], _torchruns_store()
    fresh = _open_store(host, kept) if number == 0 else _find_store(host, kept)
    dist.init_process_group(store=fresh, rank=number, world_size=count)
    return kept.check(["training has begun"])


def note_beginning() -> None:
    """Tell later starts of these processes that there is a run to go on with."""
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        _torchruns_store().set("training has begun", "")


def _torchruns_store() -> dist.Store:
    """It outlives the processes, and torchrun starts them again."""
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return dist.TCPStore(host, port, is_master=False)


def _open_store(host: str, kept: dist.Store) -> dist.Store:
    """Rank 0's meeting place for this start alone, its port told in torchrun's.

    torchrun's own is kept when it starts the processes again, with the addresses of the
    dead in it, where the living would wait for them (PyTorch's issue 135712).
    """
    fresh = dist.TCPStore(host, 0, is_master=True, wait_for_workers=False)
    kept.set("port", str(fresh.port))
    return fresh


def _find_store(host: str, kept: dist.Store) -> dist.Store:
    while True:
        port = int(kept.get("port"))
        try:
            socket.create_connection((host, port), timeout=2).close()
        except OSError:  # an earlier start's, which is closed
            time.sleep(0.1)
        else:
            return dist.TCPStore(host, port, is_master=False)


def processes_here() -> int:
    """How many of the processes are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def is_first_here() -> bool:
    """One process of each machine speaks of errors."""
    return int(os.environ.get("LOCAL_RANK", 0)) == 0


def rank() -> int:
    """This process's number; 0 prints and writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def num_processes() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


# ---- what they tell each other


def total(value: float) -> float:
    """The sum of all processes' values."""
    if num_processes() == 1:
        return value
    tensor = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(tensor)
    return tensor.item()


def in_any(flag: bool) -> bool:
    """Whether the flag is set in any process; all get the same answer."""
    return total(float(flag)) > 0


def from_all(value) -> list:
    """The processes' values, in the order of their ranks."""
    values = [value] * num_processes()
    if num_processes() > 1:
        dist.all_gather_object(values, value)
    return values


def from_first(value):
    """Rank 0's value, in every process."""
    values = [value]
    if num_processes() > 1:
        dist.broadcast_object_list(values, src=0)
    return values[0]


def on_first(function: Callable, *args):
    """Call a function in rank 0 alone, while the others wait for what it returns.

    An error that it raises is raised in all of them.
    """
    if num_processes() == 1:
        return function(*args)
    result = error = None
    if rank() == 0:
        try:
            result = function(*args)
        except Exception as raised:
            error = raised
    result, error = from_first((result, error))
    if error is not None:
        raise error
    return result


# ---- one optimizer step


def own_rows(inputs: torch.Tensor, targets: torch.Tensor) -> tuple:
    """This process's rows of a batch of B: rank, rank + processes, ...

    Returns:
        (inputs, targets, number of counted targets). Where none of the own rows counts,
        a row takes part whose loss is to be weighted with 0: all must do the same work.
    """
    mine = slice(rank(), None, num_processes())
    count = num_counted(targets[mine])
    if num_processes() > 1 and count == 0:
        return inputs[:1], torch.zeros_like(targets[:1]), 0
    return inputs[mine], targets[mine], count


def wrap(model: nn.Module, device: torch.device, compiled: bool) -> nn.Module:
    """The model as the training step calls it; its weights stay the model's own.

    It averages gradients over the processes, if there are several, and is compiled by
    `torch.compile` on request. Evaluations and samples call the model itself.
    """
    if num_processes() > 1 and not is_sharded(model):
        model = DistributedDataParallel(
            model,
            device_ids=[device] if device.type == "cuda" else None,
            gradient_as_bucket_view=True,
        )
    return torch.compile(model) if compiled else model


def is_sharded(model: nn.Module) -> bool:
    """Whether FSDP holds the model; importing it to ask would take half a second."""
    return hasattr(model, "set_requires_gradient_sync")


def averaging(model: nn.Module, now: bool):
    """A context whose backward pass averages gradients, or keeps them for later.

    With several batches to an optimizer step, once is enough.
    """
    if is_sharded(model):
        model.set_requires_gradient_sync(now)
    elif not now and hasattr(model, "no_sync"):  # DistributedDataParallel
        return model.no_sync()
    return nullcontext()


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that is spread over the processes, put together; another as it is."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
