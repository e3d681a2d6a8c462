"""Tiny runs that can end at a checkpoint and go on, here or in another process."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time

import torch
from tiny import BATCH_SIZE, copy_of, run_settings, tiny_dataset, tiny_model
from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler

from llm_helpers import LLMDataset, TrainingRun, pretrain_model
from llm_helpers.trace import trace


class SlowDataset(LLMDataset):
    """Takes its time, so that a signal finds the run at work."""

    def __getitem__(self, index):
        time.sleep(0.02)
        return super().__getitem__(index)


def _slow(**settings):
    data = tiny_dataset()
    dataset = SlowDataset.from_tokens(data.tokens, data.context_len, data.stride)
    return DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True, **settings)


def _loader(num_windows=14, **settings):
    return DataLoader(tiny_dataset(num_windows), batch_size=BATCH_SIZE, **settings)


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def _drawn_with_replacement(seed):
    dataset = tiny_dataset(20)
    return RandomSampler(dataset, True, num_samples=14, generator=_generator(seed))


# Each has 7 batches in an epoch. The slow ones draw as those of the same name.
SLOW_LOADERS = {
    "shuffled": _slow,
    "2 workers": lambda: _slow(num_workers=2),
    "persistent workers": lambda: _slow(num_workers=2, persistent_workers=True),
}
LOADERS = {
    "shuffled": lambda seed: _loader(shuffle=True),
    "in order": lambda seed: _loader(),
    "ragged last batch": lambda seed: _loader(13, shuffle=True),
    "own generator": lambda seed: _loader(shuffle=True, generator=_generator(seed)),
    "2 workers": lambda seed: _loader(shuffle=True, num_workers=2),
    "2 workers, own generator": lambda seed: _loader(
        shuffle=True, num_workers=2, generator=_generator(seed)
    ),
    "persistent workers": lambda seed: _loader(
        shuffle=True, num_workers=2, persistent_workers=True
    ),
    "persistent workers, own generator": lambda seed: _loader(
        shuffle=True,
        num_workers=2,
        persistent_workers=True,
        generator=_generator(seed),
    ),
    "SubsetRandomSampler": lambda seed: _loader(
        20, sampler=SubsetRandomSampler(range(3, 17))
    ),
    "SubsetRandomSampler, own generator": lambda seed: _loader(
        20, sampler=SubsetRandomSampler(range(3, 17), _generator(seed))
    ),
    "with replacement": lambda seed: _loader(20, sampler=_drawn_with_replacement(seed)),
    "list": lambda seed: list(_loader()),
}


def play(
    folder,
    loader="shuffled",
    until=None,
    seed=1,
    after_step=None,
    embedding_dim=16,
    **changes,
):
    """Train 3 epochs of 7 batches, with dropout.

    Checkpoints 0 to 6 follow steps 0, 6, 6 (the epoch's end), 12, 13 (the end), 18 and
    20 (the end).

    Args:
        loader: a key of `LOADERS`.
        until: the checkpoint after which the run ends as if it had been killed.
        seed: of the first weights and all that is random.
        after_step: called after each optimizer step.

    Returns:
        What came out: weights, optimizer, history, and the lines it printed.
    """
    model = tiny_model(dropout=0.2, seed=seed, embedding_dim=embedding_dim)
    settings = dict(num_epochs=3, eval_freq=4, save_freq=6)
    settings["train_loader"] = LOADERS[loader](seed)
    settings = run_settings(folder, model, **settings | changes)
    if after_step is not None:
        settings["optimizer"].register_step_post_hook(lambda *_: after_step())
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        if until is None:
            history = pretrain_model(**settings)
        else:
            history = _played_until(until, settings)
    return {
        "weights": copy_of(dict(model.state_dict())),
        "optimizer": copy_of(settings["optimizer"].state_dict()),
        "history": [list(values) for values in history],
        "lines": printed.getvalue().splitlines(),
    }


def _played_until(number, settings):
    run = TrainingRun(**settings)
    steps = run.steps()
    for record in steps:
        print("\n".join(trace(record)))
        if record.checkpoint == number:
            break
    steps.close()
    return run.history


def play_in_a_new_process(jobs, folder):
    """The outcomes of `play(**job)` for each job, all in one process of its own."""
    path = folder / "jobs.json"
    path.write_text(json.dumps(jobs, default=str), encoding="utf-8")
    subprocess.run(
        [sys.executable, __file__, str(path), str(folder / "outcomes.pth")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=300,
        check=True,
    )
    return torch.load(folder / "outcomes.pth", weights_only=True)


def _main(jobs_path, outcomes_path):
    torch.set_num_threads(1)
    with open(jobs_path, encoding="utf-8") as file:
        jobs = json.load(file)
    torch.save([play(**job) for job in jobs], outcomes_path)


if __name__ == "__main__":
    _main(*sys.argv[1:])
