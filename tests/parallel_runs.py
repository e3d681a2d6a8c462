"""Runs of one process or of several, to be compared: the same scenarios for each.

`torchrun --nproc-per-node 2 tests/parallel_runs.py FOLDER` plays them all in one group
of processes and leaves `results.pt` there, a dictionary by scenario. FOLDER/one holds
what a single process has left before.
"""

import shutil
import sys
from itertools import zip_longest
from pathlib import Path

import torch
from tiny import run_settings, tiny_dataset, tiny_model
from torch.utils.data import DataLoader

from llm_helpers import LossHistory, TrainingRun, WarmupCosine
from llm_helpers.parallel import from_all, process_group, rank, whole

NUM_EPOCHS = 9  # of 6 batches: 54 steps
HALF = 5  # checkpoint in the middle of an epoch
STEPS_AT_HALF = 16
HABITS = dict(
    schedule=WarmupCosine(warmup_steps=4, total_steps=30),
    max_grad_norm=0.5,
    accumulation_steps=2,
)


RAGGED = (23, 21)  # windows; 3 are left for an epoch's last batch, or 1


def loader(num_windows=24, **settings):
    """6 batches of 4 windows."""
    settings = dict(batch_size=4, shuffle=True) | settings
    return DataLoader(tiny_dataset(num_windows), **settings)


def new_model(engine, **changes):
    model = tiny_model(**dict(num_layers=2) | changes)
    if engine == "FSDP":
        from llm_helpers.sharding import shard

        shard(model, torch.device("cpu"))
    return model


def new_run(folder, engine, data=None, seed=1, model=None, **changes):
    """A run as `tiny.run_settings` makes them, of 54 steps."""
    model = new_model(engine, **(model or {}))
    torch.manual_seed(seed)
    settings = run_settings(
        folder,
        model,
        train_loader=loader(**(data or {})),
        num_epochs=NUM_EPOCHS,
        say=lambda line: None,
    )
    return TrainingRun(**settings | changes)


def play(folder, engine, until=None, **changes):
    """Train, or a part of it, and tell what came of it."""
    run, windows = new_run(folder, engine, **changes), []

    def note(model, arguments):
        if model.training:
            windows.append(arguments[0].tolist())

    run.model.register_forward_pre_hook(note)
    for record in run.steps():
        if until is not None and record.global_step == until:
            break
    return {
        "losses": run.log.batch_losses,
        "evaluations": [tuple(e) for e in run.log.evaluations],
        "history": LossHistory(*run.history)._asdict(),
        "weights": {k: whole(v).clone() for k, v in run.model.state_dict().items()},
        "windows": merged(from_all(windows)),
        "numbers held": sum(local(p).numel() for p in run.model.parameters()),
        "generators": [s["torch"] for s in from_all({"torch": torch.get_rng_state()})],
    }


def local(parameter):
    return parameter.to_local() if hasattr(parameter, "to_local") else parameter


def merged(windows):
    """The processes' windows, batch by batch and in the batch's order."""
    rows = [[w for row in zip_longest(*step) for w in row] for step in zip(*windows)]
    return [[window for window in step if window is not None] for step in rows]


def resumed(source, folder, engine, **changes):
    """Go on from the checkpoint of another run, in a copy of its folder."""
    if rank() == 0:
        shutil.copytree(source, folder)
    from_all(None)
    return play(folder, engine, checkpoint=HALF, seed=9, **changes)


def refusal(action):
    """What every process says when a run is refused."""
    try:
        action()
    except (ValueError, OSError, FloatingPointError) as error:
        return from_all(f"{type(error).__name__}: {error}")
    return from_all(None)


def stopped_by_one(folder, engine):
    """The last process alone is asked to stop; then the run goes on."""
    run = new_run(folder, engine, model=dict(dropout=0.2))
    for record in run.steps():
        if rank() == 1 and record.global_step == 17:
            run.stop_requested = True
    steps = from_all(run.position.global_step)
    on = play(folder, engine, checkpoint="latest", seed=9, model=dict(dropout=0.2))
    return on | {"stopped after": steps}


def broken_disk(folder):
    """Rank 0 cannot write: a file is where the folder should be."""
    if rank() == 0:
        Path(folder).write_text("in the way", encoding="utf-8")
    from_all(None)
    return refusal(lambda: play(folder, "DDP"))


def other_texts(folder):
    return refusal(lambda: play(folder, "DDP", data=dict(num_windows=24 - rank())))


def other_settings(folder):
    return refusal(lambda: play(folder, "DDP", eval_freq=5 + rank()))


def own_folders(folder):
    """Each process has its own, as on machines that share none."""
    return refusal(lambda: play(folder / f"{rank()}", "FSDP"))


def too_few_windows(folder):
    return refusal(lambda: play(folder, "DDP", data=dict(batch_size=1)))


def infinite_loss(folder):
    """Only the windows of the last process make the loss infinite."""
    run = new_run(folder, "DDP")

    def spoil(model, arguments, logits):
        return logits * float("nan") if model.training and rank() == 1 else None

    run.model.register_forward_hook(spoil)
    return refusal(lambda: list(run.steps()))


def scenarios(folder):
    results = {}
    for engine in ("DDP", "FSDP"):
        place = folder / engine
        results[engine] = play(place, engine)
        results[engine, "watched"] = play(place / "watched", engine, eval_freq=1)
        results[engine, "habits"] = play(place / "habits", engine, **HABITS)
        for n in RAGGED:
            data = dict(num_windows=n)
            results[engine, n] = play(place / f"{n}", engine, data=data)
        dropout = dict(model=dict(dropout=0.2))
        results[engine, "dropout"] = play(place / "dropout", engine, **dropout)
        results[engine, "dropout", "resumed"] = resumed(
            place / "dropout", place / "dropout resumed", engine, **dropout
        )
        results[engine, "stopped"] = stopped_by_one(place / "stopped", engine)
    for engine in ("DDP", "FSDP"):
        for source in ("one", "DDP", "FSDP"):
            copy = folder / f"{source} to {engine}"
            results[engine, "from", source] = resumed(folder / source, copy, engine)
    results["broken disk"] = broken_disk(folder / "broken")
    results["other texts"] = other_texts(folder / "other")
    results["other settings"] = other_settings(folder / "settings")
    results["own folders"] = own_folders(folder / "own")
    results["too few windows"] = too_few_windows(folder / "few")
    results["infinite loss"] = infinite_loss(folder / "infinite")
    return results


def main():
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    with process_group(torch.device("cpu")):
        results = scenarios(folder)
        if rank() == 0:
            torch.save(results, folder / "results.pt")


if __name__ == "__main__":
    main()
