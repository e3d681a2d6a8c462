"""Begin a run: load its checkpoint, set aside what is newer, say what it will write."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

from llm_helpers.checkpoint import load_checkpoint, num_bytes
from llm_helpers.checkpoint_folder import (
    INTERRUPTED,
    checkpoint_tag,
    incomplete_checkpoints,
    newest_checkpoints,
    set_aside_checkpoints,
)
from llm_helpers.compatibility import CheckpointError, DamagedCheckpointError
from llm_helpers.parallel import from_all, note_beginning, num_processes, on_first
from llm_helpers.run_state import (
    Position,
    check_processes_agree,
    check_run,
    describe_for_all,
    own_generators,
    rng_state,
)
from llm_helpers.trace import RunLog


def load_position(run) -> int | str | None:
    """Bring a `TrainingRun` to where its checkpoint left it, or to its start.

    Returns:
        The checkpoint that was loaded: a number, "interrupted", or None.

    Raises:
        ValueError: the processes do not train the same run.
    """
    if num_processes() > 1:
        check_processes_agree(describe_for_all(run))
        check_folder_is_shared(run.checkpoint_dir)
    loaded = run.checkpoint
    if loaded == "latest":
        loaded = _load_latest(run)
    elif loaded is not None:
        _load(run, loaded)
    check_processes_agree({"checkpoint": run.checkpoint} | asdict(run.position))
    if run.saved_rng is None:  # a run that begins
        own_generators([rng_state(run.train_loader, run.device)], run.device)
    return loaded


def check_folder_is_shared(checkpoint_dir: str | Path) -> None:
    """Raise ValueError where a process does not see what rank 0 writes there."""
    marker = Path(checkpoint_dir) / on_first(_place_marker, Path(checkpoint_dir))
    seen = from_all(marker.is_file())
    on_first(marker.unlink)
    if not all(seen):
        raise ValueError(
            f"process {seen.index(False)} does not see what process 0 writes to "
            f"{checkpoint_dir}; give a checkpoint_dir that all processes share"
        )


def _place_marker(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, path = tempfile.mkstemp(prefix="shared-", dir=folder)
    os.close(descriptor)
    return Path(path).name


def make_way(run, loaded: int | str | None) -> None:
    """Set aside what is newer than the loaded checkpoint and would be written over.

    Then say what the run will write.
    """
    aside = set_aside_checkpoints(
        run.checkpoint_dir, run.checkpoint, keep_interrupted=loaded == INTERRUPTED
    )
    if aside is not None:
        run.say(f"Newer checkpoints of an earlier run were moved to {aside}.")
    note_beginning()
    announce_disk_use(run)


def announce_disk_use(run) -> None:
    """Say how much the run will write, and warn if the disk has less."""
    first, last = run.position.global_step, run.num_epochs * run.steps_per_epoch
    periodic = sum(step % run.save_freq == 0 for step in range(first, last))
    count = periodic + run.num_epochs - run.position.epoch
    size = _checkpoint_size(run.model, run.optimizer)
    kept = count if run.keep_last is None else run.keep_last + run.keep_best
    kept = min(kept, count)
    keeps = f"keeps {kept} of them" if kept < count else "keeps them all"
    run.say(
        f"This run writes {count} checkpoints of {size / 1e6:,.1f} MB and {keeps}: "
        f"{kept * size / 1e6:,.1f} MB."
    )
    folder = Path(run.checkpoint_dir)
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < kept * size:
        run.say(
            f"Warning: only {free / 1e6:,.1f} MB are free there; "
            "keep fewer with keep_last, or choose another checkpoint_dir."
        )


def _load_latest(run) -> int | str | None:
    """Load the newest checkpoint that is whole; returns its number."""
    for number in incomplete_checkpoints(run.checkpoint_dir):
        run.say(
            f"Warning: checkpoint {checkpoint_tag(number)} is incomplete and ignored."
        )
    candidates = newest_checkpoints(run.checkpoint_dir)
    if not candidates:
        run.say(f"No checkpoint in {run.checkpoint_dir}: starting afresh.")
        run.checkpoint = None
        return None
    for tag in candidates:
        try:
            _load(run, tag)
            return tag
        except DamagedCheckpointError as error:
            run.say(
                f"Warning: checkpoint {checkpoint_tag(tag)} is passed over: {error}."
            )
    raise CheckpointError(
        f"none of the checkpoints in {run.checkpoint_dir} can be read; "
        "start afresh with checkpoint=None, which moves them aside"
    )


def _load(run, tag: int | str) -> None:
    warnings: list[str] = []

    def check_state(state: dict) -> None:
        warnings.extend(check_run(state, run.description))

    learning_rates = _learning_rates(run.optimizer)
    state = load_checkpoint(
        run.checkpoint_dir, tag, run.model, run.optimizer, check_state
    )
    for warning in warnings:
        run.say(warning)
    if state is None:
        run.checkpoint = tag
        run.say(
            f"Warning: checkpoint {checkpoint_tag(tag)} holds weights and optimizer; "
            "its position in the data is unknown. "
            f"Training {run.num_epochs} epochs from there."
        )
    else:
        _restore(run, state)
        at = run.position
        run.say(
            f"Continuing from checkpoint {checkpoint_tag(tag)}: {at.global_step} "
            f"steps done, epoch {at.epoch + 1}, batch {at.batch}."
        )
    if _learning_rates(run.optimizer) != learning_rates:
        run.say(
            f"The checkpoint's learning rate {_learning_rates(run.optimizer)[0]} "
            f"replaces {learning_rates[0]}."
        )


def _restore(run, state: dict) -> None:
    run.checkpoint = state["checkpoint"]
    run.position = Position(**state["position"])
    run.best = None if state["best"] is None else tuple(state["best"])
    states = state.get("rng_of_processes", [state["rng"]])
    now = own_generators(states, run.device)
    run.saved_rng = {"epoch": state["rng_epoch"], "now": now}
    run.log = RunLog.from_state(state)
    for name, values in state["history"].items():
        getattr(run.history, name)[:] = values


def _learning_rates(optimizer) -> list[float]:
    """Of each group of parameters; the peak where a schedule changes it."""
    return [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]


def _checkpoint_size(model, optimizer) -> int:
    """Bytes of weights and optimizer state, which is made in the first step."""
    weights = num_bytes(model.state_dict())
    moments = num_bytes(optimizer.state_dict())
    if not moments:
        settings = optimizer.defaults
        parameters = sum(p.numel() * p.element_size() for p in model.parameters())
        moments = parameters * (2 if "betas" in settings else 0)
    return weights + moments
