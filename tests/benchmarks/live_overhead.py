"""What the live chart costs a run: `LiveTraining` against a plain loop over the steps.

python tests/benchmarks/live_overhead.py [rounds]

Both drive the same run in turns, with one thread: a model of lesson 02's size, and a
small one with steps of some milliseconds. Measured is from the second step to the last,
so that loading, evaluating and saving, which are the same, add no noise. Printed are
medians of the rounds, their ratio, and what of the live time passed outside of the
run's own steps, which is the chart's share and hardly noisy. First in a plain event
loop, where no message is sent; then in a kernel, where each update of the chart is a
message to whoever listens. The chart may cost 3 %.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from ipywidgets import Widget
from jupyter_client.manager import start_new_kernel
from torch.utils.data import DataLoader

from llm_helpers import GPTModel, LLMDataset, TrainingRun, set_up
from llm_helpers.live import LiveTraining

ROUNDS = 7
LARGEST_SHARE = 0.03
BATCH_SIZE = 8


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model and how long it is trained."""

    embedding_dim: int
    num_layers: int
    num_heads: int
    context_len: int
    vocabulary_size: int
    num_steps: int

    def model(self) -> GPTModel:
        torch.manual_seed(123)
        sizes = (self.embedding_dim, self.num_layers, self.num_heads, self.context_len)
        return GPTModel(*sizes, self.vocabulary_size, 0.0, False)

    def loader(self) -> DataLoader:
        count = self.num_steps * BATCH_SIZE * self.context_len + 1
        tokens = torch.randint(self.vocabulary_size, (count,))
        dataset = LLMDataset.from_tokens(tokens, self.context_len, self.context_len)
        return DataLoader(dataset, BATCH_SIZE, shuffle=True)


CASES = {
    "lesson 02": Case(
        embedding_dim=192,
        num_layers=2,
        num_heads=6,
        context_len=64,
        vocabulary_size=50257,
        num_steps=30,
    ),
    "fast steps": Case(
        embedding_dim=32,
        num_layers=1,
        num_heads=4,
        context_len=32,
        vocabulary_size=500,
        num_steps=1200,
    ),
}


class Numerals:
    """A tokenizer for samples that nobody reads."""

    def encode_ordinary(self, text):
        return [len(text)]

    def decode(self, tokens):
        return " ".join(map(str, tokens))


class Clock:
    """Wall and CPU time where a run begins to make a step, and where it has made it."""

    def __init__(self, run: TrainingRun):
        self.begun, self.done = [], []
        self.records = run.steps()
        run.steps = self.timed

    def timed(self):
        """The run's records, while the times are noted."""
        while True:
            self.begun.append((time.perf_counter(), time.process_time()))
            record = next(self.records, None)
            self.done.append((time.perf_counter(), time.process_time()))
            if record is None:
                return
            yield record

    def milliseconds(self, num_steps: int) -> list[tuple[float, float]]:
        """(all, outside of the steps), the mean of a step: first wall, then CPU."""
        found = []
        for i in range(2):
            begun = [times[i] for times in self.begun[1:num_steps]]
            done = [times[i] for times in self.done[1:num_steps]]
            passed, inside = done[-1] - begun[0], sum(done) - sum(begun)
            factor = 1000 / len(begun)
            found.append((factor * passed, factor * (passed - inside)))
        return found


async def train(case: Case, live: bool, folder: str) -> list[tuple[float, float]]:
    """Train once; returns `Clock.milliseconds`."""
    model = case.model()
    run = TrainingRun(
        model=model,
        optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3),
        train_loader=case.loader(),
        num_epochs=1,
        device="cpu",
        eval_freq=10**6,
        eval_iter=1,
        tokenizer=Numerals(),
        start_context="In",
        save_freq=10**6,
        keep_last=1,
        checkpoint_dir=folder,
        say=lambda line: None,
    )
    clock = Clock(run)
    if live:
        await LiveTraining(run).train()
    else:
        for _ in run.steps():
            pass
    return clock.milliseconds(case.num_steps)


async def measure(name: str, rounds: int) -> dict[str, list]:
    """`Clock.milliseconds` of each round, plain and live, in turns."""
    set_up(num_threads=1)
    found: dict[str, list] = {"plain": [], "live": []}
    for i in range(rounds + 1):
        for kind in ("plain", "live") if i % 2 else ("live", "plain"):
            with tempfile.TemporaryDirectory() as folder:
                times = await train(CASES[name], kind == "live", folder)
            if i > 0:  # the first round warms up
                found[kind].append(times)
            Widget.close_all()  # a chart that is open keeps its run
            gc.collect()
    return found


def measure_in_event_loop(name: str, rounds: int) -> dict[str, list]:
    with contextlib.redirect_stdout(io.StringIO()):  # the chart's sentence
        return asyncio.run(measure(name, rounds))


def measure_in_kernel(name: str, rounds: int) -> dict[str, list]:
    program = (
        f"import json, sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from live_overhead import measure\n"
        f"print('found', json.dumps(await measure({name!r}, {rounds})))"
    )
    printed = []

    def note(message) -> None:
        printed.append(message["content"].get("text", ""))

    manager, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute_interactive(program, output_hook=note, timeout=3600)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    [line] = [s for s in "".join(printed).splitlines() if s.startswith("found")]
    return json.loads(line.removeprefix("found"))


def report(place: str, name: str, found: dict[str, list]) -> float:
    """Print the medians; returns the chart's share of the CPU time."""
    for i, clock in enumerate(("wall", "CPU")):
        plain, live, outside = (
            statistics.median(times[i][j] for times in found[kind])
            for kind, j in (("plain", 0), ("live", 0), ("live", 1))
        )
        share = outside / (live - outside)
        print(
            f"{place}, {name}, {clock}: plain {plain:.2f} ms a step, "
            f"live {live:.2f} ms, ratio {live / plain:.3f}; "
            f"outside of the steps {outside:.3f} ms, {share:.2%}",
            flush=True,
        )
    return share


def main() -> None:
    rounds = int(sys.argv[1]) if sys.argv[1:] else ROUNDS
    places = {"event loop": measure_in_event_loop, "kernel": measure_in_kernel}
    shares = [
        report(place, name, measure_there(name, rounds))
        for place, measure_there in places.items()
        for name in CASES
    ]
    print(
        f"medians of {rounds} rounds: the chart costs at most {max(shares):.2%} of the "
        f"CPU time (limit {LARGEST_SHARE:.0%})"
    )
    sys.exit(max(shares) > LARGEST_SHARE)


if __name__ == "__main__":
    main()
