"""Checkpoints on disk: written whole or not at all, verified before they are read.

Checkpoint N is `model_00000N.pth` and `optimizer_00000N.pth`, plain state dicts that
`torch.load(path, weights_only=True)` reads; `state_00000N.pth`, what else the run needs
to continue; and `manifest_00000N.json`, sizes and SHA-256 of the others. All files are
written under temporary names, flushed to the disk and renamed, the manifest last: it
makes the checkpoint count. An interrupted run leaves one more, `..._interrupted`,
outside the numbering.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from llm_helpers.checkpoint_folder import (
    FORMAT,
    checkpoint_path,
    manifest_sha256,
    remove_temporary_files,
    sha256,
    verify_checkpoint,
)
from llm_helpers.compatibility import (
    REMEDY,
    DamagedCheckpointError,
    check_model_state,
    check_optimizer_state,
)

_SPARE_BYTES = 1_000_000  # file headers, run state, manifest


def save_checkpoint(
    checkpoint_dir: str | Path,
    number: int | str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: dict | None = None,
) -> None:
    """Write a checkpoint; one of the same number is replaced when all is written.

    Args:
        number: 0, 1, 2, ... or "interrupted".
        state: what else the run needs, tensors and plain values only.

    Raises:
        OSError: the disk is too full or fails; earlier checkpoints stay as they are.
    """
    folder = Path(checkpoint_dir)
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporary_files(folder)
    contents = {"optimizer": optimizer.state_dict(), "model": model.state_dict()}
    if state is not None:
        contents = {"state": state, **contents}
    _check_free_space(folder, num_bytes(contents) + _SPARE_BYTES)
    try:
        _write(folder, number, contents)
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as either
        remove_temporary_files(folder)
        raise OSError(
            f"checkpoint {number} could not be written to {folder} ({error}); earlier "
            "checkpoints are whole, free some space and continue from the newest"
        ) from error


def load_checkpoint(
    checkpoint_dir: str | Path,
    number: int | str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    check_state: Callable[[dict], None] | None = None,
) -> dict | None:
    """Put a checkpoint into the model and, if given, the optimizer.

    All files are verified, read and compared with what they go into before anything is
    changed. Nothing in them is executed.

    Args:
        number: 0, 1, 2, ... or "interrupted".
        check_state: called with the run's state, if any; raises to refuse it.

    Returns:
        The run's state; None where only weights and optimizer were saved.

    Raises:
        FileNotFoundError: there is no such checkpoint; the sentence names those there.
        CheckpointError: a file is damaged, or belongs to another model or optimizer.
    """
    paths = verify_checkpoint(checkpoint_dir, number)
    model_state = _read(paths["model"])
    check_model_state(model_state, model, paths["model"])
    state = _read(paths["state"]) if "state" in paths else None
    if state is not None and check_state is not None:
        check_state(state)
    if optimizer is not None:
        optimizer_state = _read(paths["optimizer"])
        check_optimizer_state(optimizer_state, optimizer, paths["optimizer"])
        optimizer.load_state_dict(optimizer_state)
    model.load_state_dict(model_state)
    return state


def read_state(checkpoint_dir: str | Path, number: int | str) -> dict | None:
    """A checkpoint's run state alone (losses, position), verified; None without one."""
    paths = verify_checkpoint(checkpoint_dir, number)
    return _read(paths["state"]) if "state" in paths else None


def num_bytes(state) -> int:
    """Bytes of all tensors in nested dicts, lists and tuples."""
    if isinstance(state, torch.Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, dict):
        state = list(state.values())
    if isinstance(state, list | tuple):
        return sum(map(num_bytes, state))
    return 0


def _write(folder: Path, number: int | str, contents: dict[str, dict]) -> None:
    paths = {kind: checkpoint_path(folder, kind, number) for kind in contents}
    manifest_path = checkpoint_path(folder, "manifest", number)
    after = contents.get("state", {}).get("checkpoint")
    manifest = {"format": FORMAT, "after": -1 if after is None else after, "files": {}}
    for kind, path in paths.items():
        with open(path.with_suffix(".tmp"), "wb") as file:
            torch.save(contents[kind], file)
            _flush(file)
        manifest["files"][path.name] = {
            "bytes": path.with_suffix(".tmp").stat().st_size,
            "sha256": sha256(path.with_suffix(".tmp")),
        }
    manifest["sha256"] = manifest_sha256(manifest)
    with open(manifest_path.with_suffix(".tmp"), "w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
        _flush(file)
    manifest_path.unlink(missing_ok=True)  # from here the old one does not count
    for path in (*paths.values(), manifest_path):
        os.replace(path.with_suffix(".tmp"), path)
    if "state" not in contents:  # that of the checkpoint which this one replaces
        checkpoint_path(folder, "state", number).unlink(missing_ok=True)
    _flush_folder(folder)


def _flush(file) -> None:
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read(path: Path) -> dict:
    """Load a state dict without executing anything in it."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" not in str(error):  # the name of a function or class
            raise DamagedCheckpointError(f"{path} is damaged; {REMEDY}") from error
        raise DamagedCheckpointError(
            f"{path} holds more than tensors and plain values, so it was not loaded "
            "and nothing in it was executed; use only checkpoints that you trust"
        ) from error
    except Exception as error:  # damaged bytes can raise anything in the unpickler
        raise DamagedCheckpointError(f"{path} is damaged; {REMEDY}") from error
    if not isinstance(state, dict):
        raise DamagedCheckpointError(
            f"{path} holds a {type(state).__name__} instead of a state dict; {REMEDY}"
        )
    return state


def _check_free_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(
            f"a checkpoint needs {needed / 1e6:,.1f} MB and {folder} has "
            f"{free / 1e6:,.1f} MB free; free some or choose another checkpoint_dir"
        )
