"""The files of a checkpoint folder: their names, which are complete, which may go."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path

from llm_helpers.compatibility import (
    REMEDY,
    CheckpointError,
    DamagedCheckpointError,
)

FORMAT = 2  # with slices; a checkpoint without them is of format 1
KINDS = ("state", "optimizer", "sharded", "model")  # in the order of renaming
INTERRUPTED = "interrupted"
_SUFFIXES = {"manifest": ".json", "sharded": ""}  # the latter is a folder
_NAME = re.compile(
    rf"({'|'.join(KINDS)}|manifest)_(\d{{6,}}|{INTERRUPTED})(?:\.(?:pth|json|tmp))?"
)


def checkpoint_path(checkpoint_dir: str | Path, kind: str, number: int | str) -> Path:
    """`model_000007.pth`, `manifest_000007.json`, `state_interrupted.pth`, ..."""
    suffix = _SUFFIXES.get(kind, ".pth")
    return Path(checkpoint_dir) / f"{kind}_{checkpoint_tag(number)}{suffix}"


def checkpoint_tag(number: int | str) -> str:
    """How a checkpoint is called in file names and notices: 000007, or interrupted."""
    return number if isinstance(number, str) else f"{number:06d}"


def list_checkpoints(checkpoint_dir: str | Path) -> list[int]:
    """The numbers of the complete checkpoints in a folder, ascending.

    Complete are those with a manifest, and pairs of model and optimizer that another
    program wrote without one. Contents are verified on loading.
    """
    return [n for n in _numbers(checkpoint_dir) if _is_complete(checkpoint_dir, n)]


def verify_checkpoint(checkpoint_dir: str | Path, number: int | str) -> dict[str, Path]:
    """Compare every file with the manifest: size, then SHA-256.

    Returns the path of each kind of file that belongs to the checkpoint. Raises
    FileNotFoundError or CheckpointError as `load_checkpoint` does.
    """
    manifest_path = checkpoint_path(checkpoint_dir, "manifest", number)
    paths = {kind: checkpoint_path(checkpoint_dir, kind, number) for kind in KINDS}
    if not manifest_path.is_file():
        _check_without_manifest(checkpoint_dir, number)
        return {kind: paths[kind] for kind in ("optimizer", "model")}
    files = read_manifest(manifest_path)["files"]
    for name, entry in files.items():
        path = manifest_path.with_name(name)
        if not path.exists():
            raise DamagedCheckpointError(f"{path} is missing; {REMEDY}")
        if size_on_disk(path) != entry["bytes"]:
            raise DamagedCheckpointError(
                f"{path} is damaged: it has {size_on_disk(path)} bytes instead of "
                f"{entry['bytes']}; {REMEDY}"
            )
        if sha256(path) != entry["sha256"]:
            raise DamagedCheckpointError(
                f"{path} is damaged or from another run: its SHA-256 is not the "
                f"manifest's; {REMEDY}"
            )
    return {kind: path for kind, path in paths.items() if path.name in files}


def incomplete_checkpoints(checkpoint_dir: str | Path) -> list[int | str]:
    """Those that have files but do not count, as after a kill in mid-save."""
    complete = list_checkpoints(checkpoint_dir)
    found: list[int | str] = [
        number for number in _numbers(checkpoint_dir) if number not in complete
    ]
    manifest_path = checkpoint_path(checkpoint_dir, "manifest", INTERRUPTED)
    tags = {tag for _, tag, _ in _files(checkpoint_dir)}
    if INTERRUPTED in tags and not manifest_path.is_file():
        found.append(INTERRUPTED)
    return found


def newest_checkpoints(checkpoint_dir: str | Path) -> list[int | str]:
    """Complete checkpoints, newest first; the interrupted one where it belongs."""
    numbers: list[int | str] = list_checkpoints(checkpoint_dir)[::-1]
    path = checkpoint_path(checkpoint_dir, "manifest", INTERRUPTED)
    if path.is_file() and (not numbers or numbers[0] <= newest_before(path)):
        numbers.insert(0, INTERRUPTED)
    return numbers


def newest_before(manifest_path: Path) -> int:
    """The newest number when this checkpoint was written; none is -1.

    An unreadable manifest counts as the newest, so that loading it says what is wrong.
    """
    try:
        return read_manifest(manifest_path)["after"]
    except CheckpointError:
        return sys.maxsize


def read_manifest(path: Path) -> dict:
    """{"format", "after", "files": {name: {"bytes", "sha256"}}, "sha256"}, checked.

    Raises CheckpointError if it cannot be read or names files that are not its own.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] > FORMAT:
            raise DamagedCheckpointError(
                f"{path} has format {manifest['format']}, newer than {FORMAT}; "
                "update the course to read it"
            )
        if manifest["sha256"] != manifest_sha256(manifest):
            raise ValueError("its SHA-256 is not its own")
        tag = path.stem.removeprefix("manifest_")
        own = {kind: checkpoint_path(path.parent, kind, tag).name for kind in KINDS}
        names = set(manifest["files"])
        weights = {own["model"], own["sharded"]} & names
        if own["optimizer"] not in names or len(weights) != 1:
            raise ValueError("it lacks files")
        if not names <= set(own.values()):
            raise ValueError("it lists other files")
        for entry in manifest["files"].values():
            int(entry["bytes"]), str(entry["sha256"])
        int(manifest["after"])
        return manifest
    except CheckpointError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpointError(
            f"{path} is damaged ({error!r}); {REMEDY}"
        ) from error


def manifest_sha256(manifest: dict) -> str:
    """Of all that a manifest says, but for this very entry."""
    rest = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def prune_checkpoints(checkpoint_dir: str | Path, keep: set[int]) -> None:
    """Delete numbered checkpoints that are not to be kept."""
    for _, tag, path in _files(checkpoint_dir):
        if tag != INTERRUPTED and int(tag) not in keep:
            remove(path)


def remove_interrupted(checkpoint_dir: str | Path) -> None:
    """Delete the interrupted checkpoint, once a later numbered one is valid."""
    for kind in ("manifest", *KINDS):
        remove(checkpoint_path(checkpoint_dir, kind, INTERRUPTED))


def set_aside_checkpoints(
    checkpoint_dir: str | Path, after: int | None, keep_interrupted: bool = False
) -> Path | None:
    """Move what is newer than checkpoint `after` (None: all) to a new `superseded-K`.

    Returns:
        The new folder, or None if there was nothing to move.
    """
    last = -1 if after is None else after
    paths = [
        path
        for _, tag, path in _files(checkpoint_dir)
        if (not keep_interrupted if tag == INTERRUPTED else int(tag) > last)
    ]
    if not paths:
        return None
    folder = Path(checkpoint_dir)
    names = (re.fullmatch(r"superseded-(\d+)", p.name) for p in folder.iterdir())
    taken = [int(name[1]) for name in names if name]
    aside = folder / f"superseded-{max(taken, default=0) + 1}"
    aside.mkdir()
    for path in paths:
        path.rename(aside / path.name)
    return aside


def _files(checkpoint_dir: str | Path, suffixes=(".pth", ".json", "")) -> list[tuple]:
    """(kind, tag, path) of every checkpoint file in the folder, sorted by kind.

    So whoever moves or deletes them begins with the manifests and ends with the states:
    what a kill leaves behind never looks like another program's checkpoint.
    """
    paths = sorted(Path(checkpoint_dir).glob("*_*"))
    matches = ((_NAME.fullmatch(p.name), p) for p in paths)
    return [(m[1], m[2], p) for m, p in matches if m and p.suffix in suffixes]


def remove_temporary_files(folder: Path) -> None:
    for _, _, path in _files(folder, suffixes=(".tmp",)):
        remove(path)


def _numbers(checkpoint_dir: str | Path) -> list[int]:
    tags = {tag for _, tag, _ in _files(checkpoint_dir)} - {INTERRUPTED}
    return sorted(map(int, tags))


def _is_complete(checkpoint_dir: str | Path, number: int) -> bool:
    there = {
        kind: checkpoint_path(checkpoint_dir, kind, number).is_file()
        for kind in (*KINDS, "manifest")
    }
    foreign = there["model"] and there["optimizer"] and not there["state"]
    return there["manifest"] or foreign


def _check_without_manifest(checkpoint_dir: str | Path, number: int | str) -> None:
    """Weights and optimizer without a manifest are another program's; more is ours."""
    if checkpoint_path(checkpoint_dir, "state", number).is_file():
        raise DamagedCheckpointError(
            f"checkpoint {number} in {checkpoint_dir} is incomplete: it has no "
            f"manifest; {REMEDY}"
        )
    for kind in ("model", "optimizer"):
        path = checkpoint_path(checkpoint_dir, kind, number)
        if not path.is_file():
            there = ", ".join(map(str, newest_checkpoints(checkpoint_dir)[::-1]))
            raise FileNotFoundError(
                f"{path} does not exist; complete checkpoints: {there or 'none'}"
            )


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_dir():
        return sum(map(size_on_disk, path.iterdir()))
    return path.stat().st_size


def sha256(path: Path) -> str:
    """Of a file, or of the names in a folder with their own."""
    if path.is_dir():
        lines = [f"{file.name} {sha256(file)}" for file in sorted(path.iterdir())]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
