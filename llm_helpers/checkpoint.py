"""Checkpoints: model and optimizer, each written whole or not at all.

A checkpoint N is two files, `model_00000N.pth` and `optimizer_00000N.pth`, plain state
dicts that `torch.load(path, weights_only=True)` reads. Each is written to a temporary
file, flushed to the disk and renamed; the model's comes last and makes the pair count.
"""

import os
import pickle
import re
import shutil
import zipfile
from pathlib import Path

import torch
from torch import nn

KINDS = ("optimizer", "model")  # in the order of writing
_SPARE_BYTES = 1_000_000  # file headers, other small files


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that belongs to another model."""


def checkpoint_path(checkpoint_dir: str | Path, kind: str, number: int) -> Path:
    """`model_000007.pth` or `optimizer_000007.pth` in the folder."""
    return Path(checkpoint_dir) / f"{kind}_{number:06d}.pth"


def list_checkpoints(checkpoint_dir: str | Path) -> list[int]:
    """The numbers of the complete checkpoints in a folder, ascending."""
    found = {kind: set() for kind in KINDS}
    for kind, number, _ in _checkpoint_files(checkpoint_dir):
        found[kind].add(number)
    return sorted(found["model"] & found["optimizer"])


def save_checkpoint(
    checkpoint_dir: str | Path,
    number: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write checkpoint `number`; a file of that number is replaced when all is written.

    Raises:
        OSError: the disk is too full or fails; earlier checkpoints stay as they are.
    """
    Path(checkpoint_dir).mkdir(parents=True, exist_ok=True)
    states = {"optimizer": optimizer.state_dict(), "model": model.state_dict()}
    _check_free_space(checkpoint_dir, _num_bytes(states) + _SPARE_BYTES)
    _write_whole(
        {checkpoint_path(checkpoint_dir, kind, number): states[kind] for kind in KINDS}
    )


def load_checkpoint(
    checkpoint_dir: str | Path,
    number: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Put checkpoint `number` into the model and, if given, the optimizer.

    Both files are read and compared with what they go into before anything is changed.

    Raises:
        FileNotFoundError: there is no such checkpoint; the sentence names those there
            are.
        CheckpointError: a file is damaged, or belongs to another model or optimizer.
    """
    model_path = checkpoint_path(checkpoint_dir, "model", number)
    model_state = _read(model_path)
    _check_model_state(model_state, model, model_path)
    if optimizer is not None:
        optimizer_path = checkpoint_path(checkpoint_dir, "optimizer", number)
        optimizer_state = _read(optimizer_path)
        _check_optimizer_state(optimizer_state, optimizer, optimizer_path)
        optimizer.load_state_dict(optimizer_state)
    model.load_state_dict(model_state)


def set_aside_checkpoints(checkpoint_dir: str | Path, after: int = -1) -> Path | None:
    """Move the checkpoints numbered above `after` to a new folder `superseded-K`.

    Returns:
        The new folder, or None if there was nothing to move.
    """
    folder = Path(checkpoint_dir)
    paths = [path for _, number, path in _checkpoint_files(folder) if number > after]
    if not paths:
        return None
    names = (re.fullmatch(r"superseded-(\d+)", p.name) for p in folder.iterdir())
    taken = [int(name[1]) for name in names if name]
    aside = folder / f"superseded-{max(taken, default=0) + 1}"
    aside.mkdir()
    for path in paths:
        path.rename(aside / path.name)
    return aside


def _checkpoint_files(checkpoint_dir: str | Path) -> list[tuple[str, int, Path]]:
    pattern = re.compile(rf"({'|'.join(KINDS)})_(\d{{6,}})\.pth")
    matches = (
        (pattern.fullmatch(p.name), p) for p in Path(checkpoint_dir).glob("*.pth")
    )
    return [(match[1], int(match[2]), path) for match, path in matches if match]


def _write_whole(states: dict[Path, dict]) -> None:
    """Write all files beside their places, then rename them all."""
    temporary = {path: path.with_suffix(".tmp") for path in states}
    try:
        for path, state in states.items():
            with open(temporary[path], "wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
        for path in states:
            os.replace(temporary[path], path)
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as either
        raise OSError(
            f"{path} could not be written ({error}); earlier checkpoints are whole, "
            "free some space and start again from the newest"
        ) from error
    finally:
        for name in temporary.values():
            name.unlink(missing_ok=True)


def _check_free_space(checkpoint_dir: str | Path, needed: int) -> None:
    free = shutil.disk_usage(checkpoint_dir).free
    if free < needed:
        raise OSError(
            f"a checkpoint needs {needed / 1e6:,.1f} MB and {checkpoint_dir} has "
            f"{free / 1e6:,.1f} MB free; free some or choose another checkpoint_dir"
        )


def _num_bytes(state) -> int:
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        return sum(_num_bytes(value) for value in state.values())
    return 0


def _read(path: Path) -> dict:
    """Load a state dict without executing anything in it."""
    if not path.is_file():
        there = list_checkpoints(path.parent)
        names = ", ".join(map(str, there)) if there else "none"
        raise FileNotFoundError(f"{path} does not exist; complete checkpoints: {names}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if not zipfile.is_zipfile(path):
            raise CheckpointError(f"{path} is damaged; {_REMEDY}") from error
        raise CheckpointError(
            f"{path} holds more than tensors and plain values, so it was not loaded "
            "and nothing in it was executed; use only checkpoints that you trust"
        ) from error
    except Exception as error:  # damaged bytes can raise anything in the unpickler
        raise CheckpointError(f"{path} is damaged; {_REMEDY}") from error
    if not isinstance(state, dict):
        raise CheckpointError(
            f"{path} holds a {type(state).__name__} instead of a state dict; {_REMEDY}"
        )
    return state


_REMEDY = "continue from another checkpoint"


def _check_model_state(state: dict, model: nn.Module, path: Path) -> None:
    """Same names and shapes; the series' `mask` buffers do not count."""
    expected = model.state_dict()
    missing = expected.keys() - state.keys()
    extra = {
        k for k in state.keys() - expected.keys() if not str(k).endswith("att.mask")
    }
    for names, fault in ((missing, "lacks"), (extra, "holds an unknown")):
        if names:
            raise CheckpointError(
                f"{path} belongs to another model: it {fault} {min(names)!r}; "
                "build the model with the settings of that run"
            )
    for name, tensor in expected.items():
        found = tuple(getattr(state[name], "shape", ()))
        if found != tuple(tensor.shape):
            raise CheckpointError(
                f"{path} belongs to another model: {name!r} has the shape {found} "
                f"there and {tuple(tensor.shape)} here; "
                "build the model with the settings of that run"
            )


def _check_optimizer_state(state: dict, optimizer, path: Path) -> None:
    """Same kind of optimizer (by its settings) over parameters of the same shapes."""
    groups = optimizer.state_dict()["param_groups"]
    settings = [_kind_of_optimizer(group) for group in groups]
    sizes = [len(group["params"]) for group in groups]
    saved = state.get("param_groups")
    if not (
        isinstance(saved, list)
        and all(isinstance(group, dict) for group in saved)
        and isinstance(state.get("state"), dict)
    ):
        raise CheckpointError(f"{path} holds no optimizer state; {_REMEDY}")
    if [_kind_of_optimizer(group) for group in saved] != settings:
        raise CheckpointError(
            f"{path} belongs to another type of optimizer than "
            f"{type(optimizer).__name__}; build the optimizer of that run"
        )
    shapes = [p.shape for group in optimizer.param_groups for p in group["params"]]
    moments = state["state"].items()
    if [len(group["params"]) for group in saved] != sizes or any(
        i not in range(len(shapes))
        or getattr(moment.get("exp_avg"), "shape", shapes[i]) != shapes[i]
        for i, moment in moments
    ):
        raise CheckpointError(
            f"{path} belongs to another model: its optimizer holds other parameters; "
            "build the model with the settings of that run"
        )


def _kind_of_optimizer(group: dict) -> tuple:
    """Adam and AdamW have the same settings and differ in one's value."""
    return sorted(group), group.get("decoupled_weight_decay")
