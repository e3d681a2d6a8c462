"""What the live chart costs a run: CPU time spent outside the training loop.

python tests/benchmarks/live_overhead.py [rounds]

A step's time scatters by several per cent from run to run, more than the chart costs.
So the cost is taken within each run: the CPU time of the whole process, less what its
main thread spends inside `TrainingRun.steps`, over the latter. A chart that costs
nothing gives what a plain loop over the steps gives, which is measured beside it. One
thread trains, so nothing of a step runs elsewhere; what other threads do to send the
chart counts as its cost.

Two models: one of lesson 02's size, and a small one with steps of some milliseconds.
First in a plain event loop, where no message is sent; then in a kernel, where each
update of the chart is a message to whoever listens. The chart may cost 3 %.
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
from results import record
from torch.utils.data import DataLoader

from llm_helpers import GPTModel, LLMDataset, TrainingRun, set_up
from llm_helpers.live import LiveTraining

ROUNDS = 3
LARGEST_COST = 0.03


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


class TimedRun(TrainingRun):
    """A run that notes the CPU seconds of its steps, from the second to the last."""

    def steps(self):
        records = super().steps()
        yield next(records)  # loading and the first step are not counted
        self.process_seconds, self.step_seconds = -time.process_time(), 0.0
        while True:
            start = time.thread_time()
            record = next(records, None)
            self.step_seconds += time.thread_time() - start
            if record is None:
                self.process_seconds += time.process_time()
                return
            yield record


async def cost_of(case: Case, live: bool, folder: str) -> tuple[float, float]:
    """Train once; (milliseconds of a step, CPU time outside the loop over inside)."""
    model = case.model()
    run = TimedRun(
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
    if live:
        await LiveTraining(run).train()
    else:
        for _ in run.steps():
            pass
    milliseconds = 1000 * run.step_seconds / (case.num_steps - 1)
    return milliseconds, run.process_seconds / run.step_seconds - 1


async def measure(name: str, rounds: int) -> dict[str, list]:
    """What each round found, plain and live, in turns."""
    set_up(num_threads=1)
    found: dict[str, list] = {"plain": [], "live": []}
    for i in range(rounds):
        for kind in ("plain", "live") if i % 2 else ("live", "plain"):
            with tempfile.TemporaryDirectory() as folder:
                cost = await cost_of(CASES[name], kind == "live", folder)
            found[kind].append(cost)
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
    costs = {}
    for place, function in (
        ("event loop", measure_in_event_loop),
        ("kernel", measure_in_kernel),
    ):
        for name in CASES:
            for kind, found in function(name, rounds).items():
                step, cost = (statistics.median(values) for values in zip(*found))
                print(
                    f"{place}, {name}, {kind}: {step:.1f} ms a step, "
                    f"{cost:.2%} outside the loop",
                    flush=True,
                )
                if kind == "live":
                    costs[f"{place}, {name}"] = round(100 * cost, 1)
    record(live_chart_cost_percent=costs)
    print(f"medians of {rounds} rounds; the chart may cost {LARGEST_COST:.0%}")
    sys.exit(max(costs.values()) > 100 * LARGEST_COST)


if __name__ == "__main__":
    main()
