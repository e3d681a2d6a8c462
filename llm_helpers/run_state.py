"""Where a run stands: its position in the data and every random number generator.

PyTorch cannot save a DataLoader's iterator. But its order is decided by the generators'
states when the iterator is made. So a checkpoint keeps these states twice: as they
were when the epoch began, and as they are. To continue, restore the first, make the
iterator, skip the batches already trained on, then restore the second.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, is_dataclass

import torch
from torch import nn

from llm_helpers.compatibility import CheckpointError

_STATE_ENTRIES = {
    *("checkpoint", "position", "history", "best", "rng_epoch", "rng", "run")
}

_WARNED_ABOUT = ("threads", "torch", "max_grad_norm", "autocast")


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
        states["cuda"] = torch.cuda.get_rng_state_all()
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
        torch.cuda.set_rng_state_all(states["cuda"])
    elif device.type == "mps" and "mps" in states:
        torch.mps.set_rng_state(states["mps"])
    for generator, state in zip(_generators(loader), states["loader"], strict=True):
        generator.set_state(state)


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
    }


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
