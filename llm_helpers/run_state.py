"""Where a run stands: its position in the data and every random number generator.

PyTorch cannot save a DataLoader's iterator. But its order is decided by the generators'
states when the iterator is made. So a checkpoint keeps these states twice: as they
were when the epoch began, and as they are. To continue, restore the first, make the
iterator, skip the batches already trained on, then restore the second.

Several processes draw different dropout, but must read the same batches: all begin an
epoch with the generators of rank 0, and then each goes on with its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, is_dataclass
from itertools import chain

import torch
from torch import nn

from llm_helpers.compatibility import CheckpointError
from llm_helpers.parallel import from_all, from_first, is_sharded, num_processes, rank

_STATE_ENTRIES = {
    *("checkpoint", "position", "history", "best", "rng_epoch", "rng", "run")
}

_WARNED_ABOUT = {
    *("threads", "torch", "max_grad_norm", "autocast", "compile", "processes")
}


@dataclass
class Position:
    """How far a run is; all counts start at 0."""

    epoch: int = 0  # the one that is being trained, or the next
    batch: int = 0  # batches of it that were trained on
    global_step: int = 0  # optimizer steps made
    tokens_seen: int = 0  # inputs trained on


def rng_state(loader, device: torch.device) -> dict:
    """States of the global generators and of those that the loader draws from."""
    states = {"torch": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = [torch.cuda.get_rng_state(device)]
    elif device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    states["loader"] = [g.get_state() for g in _generators(loader)]
    states["keeps workers"] = getattr(loader, "_iterator", None) is not None
    return states


def set_epoch_start(states: dict, loader, device: torch.device) -> None:
    """Put a loader and all generators back to where an epoch began.

    A loader with persistent workers draws from a generator when it starts them, but not
    in the epochs after; so it must have them, or not, as it had then.
    """
    if getattr(loader, "persistent_workers", False):
        loader._iterator = None
        if states["keeps workers"]:
            iter(loader)
    set_rng_state(states, loader, device)


def set_rng_state(states: dict, loader, device: torch.device) -> None:
    """Put back what `rng_state` returned."""
    torch.set_rng_state(states["torch"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"][0], device)
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
    if states["loader"] is not None:
        for generator, state in zip(_generators(loader), states["loader"], strict=True):
            generator.set_state(state)


def epoch_batches(
    loader, num_done: int, device: torch.device, saved: dict | None
) -> tuple[Iterator, dict]:
    """An epoch's batches after those already trained on.

    Args:
        saved: {"epoch", "now"}, generators as a checkpoint holds them, or None.

    Returns:
        (the batches, the generators' states as the epoch began).
    """
    if saved is not None:
        set_epoch_start(saved["epoch"], loader, device)
    own = rng_state(loader, device) if saved is None else saved["now"]
    start = from_first(rng_state(loader, device))
    if rank() > 0:
        set_rng_state(start, loader, device)
    batches = iter(loader)
    for _ in range(num_done):
        next(batches)
    if saved is not None and num_done:
        set_rng_state(own, loader, device)
    elif num_processes() > 1:  # a sampler draws with its first batch
        batches = chain([next(batches)], batches)
        if rank() > 0:
            set_rng_state(own | {"loader": None}, loader, device)
    return batches, start


def own_generators(states: list[dict], device: torch.device) -> dict:
    """This process's of the states of all processes, as a checkpoint holds them.

    Where there are more or fewer processes now, those after rank 0 draw their dropout
    from new seeds, which differ by rank and by what was drawn before.
    """
    if rank() == 0 or len(states) == num_processes():
        return states[rank()]
    torch.manual_seed(int(states[0]["torch"].sum()) * 1000 + rank())
    return rng_state(None, device) | {"loader": states[0]["loader"]}


def describe_run(model: nn.Module, optimizer, loader) -> dict:
    """What must be the same for a run to continue exactly; plain values only."""
    config = getattr(model, "config", None)
    dataset = getattr(loader, "dataset", None)
    tokens = getattr(dataset, "tokens", None)
    return {
        "config": asdict(config) if is_dataclass(config) else None,
        "optimizer": type(optimizer).__name__,
        "batches in an epoch": len(loader),
        "batch size": getattr(loader, "batch_size", None),
        "windows": len(dataset) if hasattr(dataset, "__len__") else None,
        "sampler": type(getattr(loader, "sampler", None)).__name__,
        "generators of the loader": len(_generators(loader)),
        "SHA-256 of the tokens": _hash(tokens),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "processes": _processes(model),
    }


def _processes(model: nn.Module) -> str | None:
    if num_processes() == 1:
        return None
    return f"{num_processes()}, {'FSDP' if is_sharded(model) else 'DDP'}"


def describe_for_all(run) -> dict:
    """What must be the same in all processes of a `TrainingRun`, beyond its data."""
    names = ("num_epochs", "eval_freq", "eval_iter", "save_freq", "keep_last")
    settings = {name: getattr(run, name) for name in names}
    groups = run.optimizer.param_groups
    settings["learning rates"] = [group["lr"] for group in groups]
    settings["weight decays"] = [group.get("weight_decay") for group in groups]
    if run.val_loader is not None:
        val = getattr(run.val_loader, "dataset", None)
        settings["validation batches"] = len(run.val_loader)
        settings["SHA-256 of the validation tokens"] = _hash(
            getattr(val, "tokens", None)
        )
    rest = run.description | settings
    return {name: value for name, value in rest.items() if name != "threads"}


def check_processes_agree(description: dict) -> None:
    """Raise ValueError where a process has other texts or settings than rank 0."""
    first, *others = from_all(description)
    for number, other in enumerate(others, start=1):
        for name, value in other.items():
            if value != first[name]:
                raise ValueError(
                    f"process {number} has {name} = {value} and process 0 "
                    f"{first[name]}; give all machines the same texts and command"
                )


def check_run(state: dict, current: dict) -> list[str]:
    """Is this a run's state, and does its description fit the current run's?

    Returns:
        Warnings about what may change on the way: threads, PyTorch's version, clipping
        and precision.

    Raises:
        CheckpointError: the checkpoint is of a run with other data or settings.
    """
    missing = _STATE_ENTRIES - state.keys()
    if missing:
        raise CheckpointError(
            f"the checkpoint's state lacks {min(missing)!r}, so another loop wrote it; "
            "use load_checkpoint for its weights and optimizer"
        )
    saved, warnings = state["run"], []
    for name, value in current.items():
        before = saved.get(name)
        if before == value:
            continue
        if name in _WARNED_ABOUT:
            warnings.append(
                f"Warning: the checkpoint was made with {name} = {before}, now it is "
                f"{value}: the run continues, but not bit-identically."
            )
        else:
            raise CheckpointError(
                f"the checkpoint is of another run: {name} = {before} there and "
                f"{value} here; use the same texts, model, batch size and optimizer"
            )
    return warnings


def _generators(loader) -> list[torch.Generator]:
    """The distinct generators of a loader and its samplers, in a fixed order."""
    sampler = getattr(loader, "sampler", None)
    batch_sampler = getattr(loader, "batch_sampler", None)
    holders = (loader, sampler, batch_sampler, getattr(batch_sampler, "sampler", None))
    found = [getattr(holder, "generator", None) for holder in holders]
    return list({id(g): g for g in found if isinstance(g, torch.Generator)}.values())


def _hash(tokens) -> str | None:
    if not isinstance(tokens, torch.Tensor):
        return None
    return hashlib.sha256(tokens.cpu().contiguous().numpy()).hexdigest()
