"""Checkpoints on disk: written whole or not at all, verified before they are read.

Checkpoint N is `model_00000N.pth` and `optimizer_00000N.pth`, plain state dicts that
`torch.load(path, weights_only=True)` reads; `state_00000N.pth`, what else the run needs
to continue; and `manifest_00000N.json`, sizes and SHA-256 of the others. All files are
written under temporary names, flushed to the disk and renamed, the manifest last: it
makes the checkpoint count. An interrupted run leaves one more, `..._interrupted`,
outside the numbering. A sharded run has a folder of slices, `sharded_00000N`, in place
of the model's file (see `sharding`); either kind goes into any run. Of several
processes rank 0 writes, and the others their slices: they must share the folder.
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
    remove,
    remove_temporary_files,
    sha256,
    size_on_disk,
    verify_checkpoint,
)
from llm_helpers.compatibility import (
    REMEDY,
    DamagedCheckpointError,
    check_model_state,
    check_optimizer_state,
)
from llm_helpers.parallel import is_sharded, on_first

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
    contents = {"optimizer": optimizer.state_dict(), "model": model.state_dict()}
    if state is not None:
        contents = {"state": state, **contents}
    write_checkpoint(Path(checkpoint_dir), number, contents, is_sharded(model))


def write_checkpoint(
    folder: Path, number: int | str, contents: dict[str, dict], sliced: bool = False
) -> None:
    """Write the state dicts of each kind; `sliced`, a part of them in each process."""
    on_first(_make_room, folder, num_bytes(contents) + _SPARE_BYTES)
    try:
        if sliced:
            contents = _write_slices(folder, number, contents)
        on_first(_write, folder, number, contents)
    except (OSError, RuntimeError) as error:  # torch.save reports a full disk as either
        on_first(remove_temporary_files, folder)
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
    state = _read(paths["state"]) if "state" in paths else None
    parameters = None if optimizer is None else _parameters(optimizer)
    model_state, optimizer_state = read_contents(paths, model.state_dict(), parameters)
    check_model_state(model_state, model, paths.get("model", paths.get("sharded")))
    if state is not None and check_state is not None:
        check_state(state)
    if optimizer is not None:
        check_optimizer_state(optimizer_state, optimizer, paths["optimizer"])
    if is_sharded(model):
        _slice(model_state, optimizer_state, model, optimizer)
    if optimizer is not None:
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


def read_contents(
    paths: dict[str, Path], weights: dict, parameters: list | None
) -> tuple[dict, dict | None]:
    """Both state dicts of verified files, of either kind of checkpoint.

    Args:
        weights: of the model that they are for; slices are read where those are.
        parameters: the optimizer's, in its order; None leaves the optimizer out.
    """
    rest = None if parameters is None else _read(paths["optimizer"])
    if "model" in paths:
        return _read(paths["model"]), rest
    from llm_helpers.sharding import read_slices  # half a second, for those who need it

    try:
        return read_slices(paths["sharded"], rest, weights, parameters or [])
    except Exception as error:  # damaged bytes can raise anything
        raise DamagedCheckpointError(
            f"{paths['sharded']} is damaged ({error}); {REMEDY}"
        ) from error


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]


def _slice(model_state: dict, optimizer_state: dict | None, model, optimizer) -> None:
    """Cut whole tensors for this process, as those are that they go into."""
    from llm_helpers.sharding import sliced_as

    for name, like in model.state_dict().items():
        model_state[name] = sliced_as(model_state[name], like)
    if optimizer is not None:
        parameters = _parameters(optimizer)
        for i, moments in optimizer_state["state"].items():
            for name, value in moments.items():
                if value.shape == parameters[i].shape:
                    moments[name] = sliced_as(value, parameters[i])


def _write_slices(folder: Path, number: int | str, contents: dict) -> dict:
    """All processes write their slices; what is left is for rank 0 to write."""
    from llm_helpers.sharding import write_slices

    slices = checkpoint_path(folder, "sharded", number).with_suffix(".tmp")
    model_state, optimizer_state = contents.pop("model"), contents.pop("optimizer")
    rest = write_slices(slices, model_state, optimizer_state)
    return {**contents, "optimizer": rest, "sharded": None}


def _make_room(folder: Path, needed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    remove_temporary_files(folder)
    _check_free_space(folder, needed)


def _write(folder: Path, number: int | str, contents: dict[str, dict]) -> None:
    paths = {kind: checkpoint_path(folder, kind, number) for kind in contents}
    manifest_path = checkpoint_path(folder, "manifest", number)
    after = contents.get("state", {}).get("checkpoint")
    manifest = {
        "format": FORMAT if "sharded" in contents else 1,
        "after": -1 if after is None else after,
        "files": {},
    }
    for kind, path in paths.items():
        temporary = path.with_suffix(".tmp")
        if kind == "sharded":  # its files were flushed by those who wrote them
            _flush_folder(temporary)
        else:
            with open(temporary, "wb") as file:
                torch.save(contents[kind], file)
                _flush(file)
        manifest["files"][path.name] = {
            "bytes": size_on_disk(temporary),
            "sha256": sha256(temporary),
        }
    manifest["sha256"] = manifest_sha256(manifest)
    with open(manifest_path.with_suffix(".tmp"), "w", encoding="utf-8") as file:
        json.dump(manifest, file, indent=1)
        _flush(file)
    manifest_path.unlink(missing_ok=True)  # from here the old one does not count
    for kind in ("sharded", "model"):  # a folder cannot be renamed onto another
        if kind == "sharded" or kind not in contents:
            remove(checkpoint_path(folder, kind, number))
    for path in (*paths.values(), manifest_path):
        os.replace(path.with_suffix(".tmp"), path)
    if "state" not in contents:  # that of the checkpoint which this one replaces
        remove(checkpoint_path(folder, "state", number))
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
