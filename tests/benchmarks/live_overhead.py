"""What the live chart costs a run: `LiveTraining` against a plain loop over the steps.

python tests/benchmarks/live_overhead.py [rounds]

Both drive the same run in turns, with one thread: a model of lesson 02's size, and a
small one with steps of some milliseconds. Measured is the time from the second step to
the last, so that loading, evaluating and saving, which are the same, add no noise; the
medians are compared. First in a plain event loop, where no message is sent; then in a
kernel, where each update of the chart is a message to whoever listens. The chart may
cost 3 %.
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
LARGEST_RATIO = 1.03


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model and how long it is trained, 8 windows to a step."""

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
        count = self.num_steps * 8 * self.context_len + 1
        tokens = torch.randint(self.vocabulary_size, (count,))
        dataset = LLMDataset.from_tokens(tokens, self.context_len, self.context_len)
        return DataLoader(dataset, batch_size=8, shuffle=True)


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
        num_layers=2,
        num_heads=4,
        context_len=64,
        vocabulary_size=1000,
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
    """Wall and CPU seconds at each optimizer step."""

    def __init__(self, optimizer: torch.optim.Optimizer):
        self.times = []
        optimizer.register_step_post_hook(self._note)

    def _note(self, *_) -> None:
        self.times.append((time.perf_counter(), time.process_time()))

    def seconds(self) -> tuple[float, float]:
        """(wall, CPU) from the second step to the last."""
        (wall, cpu), (wall_end, cpu_end) = self.times[1], self.times[-1]
        return wall_end - wall, cpu_end - cpu


async def seconds_of(case: Case, live: bool, folder: str) -> tuple[float, float]:
    """Train once; (wall, CPU) seconds of the steps."""
    model = case.model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    clock = Clock(optimizer)
    run = TrainingRun(
        model=model,
        optimizer=optimizer,
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
    if live:
        await LiveTraining(run).train()
    else:
        for _ in run.steps():
            pass
    return clock.seconds()


async def measure(name: str, rounds: int) -> dict[str, list]:
    """(wall, CPU) seconds of each round, plain and live, in turns."""
    set_up(num_threads=1)
    found: dict[str, list] = {"plain": [], "live": []}
    for i in range(rounds + 1):
        for kind in ("plain", "live") if i % 2 else ("live", "plain"):
            with tempfile.TemporaryDirectory() as folder:
                seconds = await seconds_of(CASES[name], kind == "live", folder)
            if i > 0:  # the first round warms up
                found[kind].append(seconds)
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


def main() -> None:
    rounds = int(sys.argv[1]) if sys.argv[1:] else ROUNDS
    too_slow = False
    for place, function in (
        ("event loop", measure_in_event_loop),
        ("kernel", measure_in_kernel),
    ):
        for name, case in CASES.items():
            found = function(name, rounds)
            ratios = []
            for i, clock in enumerate(("wall", "CPU")):
                plain, live = (
                    1000
                    * statistics.median(s[i] for s in found[kind])
                    / (case.num_steps - 2)
                    for kind in ("plain", "live")
                )
                ratios.append(live / plain)
                print(
                    f"{place}, {name}, {clock}: plain {plain:.2f} ms a step, "
                    f"live {live:.2f} ms, ratio {live / plain:.3f}",
                    flush=True,
                )
            too_slow |= ratios[1] > LARGEST_RATIO
    print(f"medians of {rounds} rounds; the CPU ratio may be {LARGEST_RATIO}")
    sys.exit(too_slow)


if __name__ == "__main__":
    main()
