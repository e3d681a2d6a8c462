"""One training step at GPT-2-small size against its peers: `make benchmarks`.

python tests/benchmarks/training_step.py [--dropout 0.1] [--rounds 3] [--only NAME ...]

Batch 2 x 1024, float32, all cores. Each measurement is a process of its own: one step
to warm up, then one that counts. The contenders take turns, round after round, and the
medians over all rounds are printed with their spread. Before and after the steps each
process multiplies matrices, so that every time stands beside what the machine could do
in the same minute (`ceiling`). "kept" is the same code with freed memory kept
(`llm_helpers.memory`), which the course switches on in `set_up` and nobody else does.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import torch
from contenders import SMALL, STEPS, training_flops
from results import machine, record_in

from llm_helpers.memory import keep_freed_memory

BATCH_SIZE, STEPS_MEASURED = 2, 1
CONTENDERS = [  # as published, and once more with freed memory kept
    *(("llm_helpers", True), ("llm_helpers", False)),
    *(
        (name, keep)
        for name in STEPS
        if name != "llm_helpers"
        for keep in (False, True)
    ),
]


def main() -> None:
    args = _parse()
    if args.measure:
        name, keep = args.measure
        print(json.dumps(measure(name, keep == "kept", args.dropout)))
        return
    chosen = [c for c in CONTENDERS if not args.only or c[0] in args.only]
    results = {label(*contender): [] for contender in chosen}
    for i in range(args.rounds):
        for contender in chosen:
            results[label(*contender)].append(in_a_process(*contender, args.dropout))
            print(i, label(*contender), results[label(*contender)][-1], flush=True)
    summary = {name: summarise(runs) for name, runs in results.items()}
    print(f"\n{machine()}, dropout {args.dropout}, medians of {args.rounds} rounds")
    print(table(summary))
    if not args.only:
        record_in("training_step", f"dropout {args.dropout}", summary)


def label(name: str, keep: bool) -> str:
    return f"{name}, kept" if keep else name


def measure(name: str, keep: bool, dropout: float) -> dict:
    """One step in this process: seconds, CPU seconds, ceiling, peak memory."""
    keep_freed_memory(keep)
    torch.manual_seed(123)
    config = replace(SMALL, dropout=dropout)
    _, step = STEPS[name](config, "cpu")
    ids = torch.randint(config.vocabulary_size, (BATCH_SIZE, config.context_len + 1))
    inputs, targets = ids[:, :-1], ids[:, 1:]
    step(inputs, targets)
    ceilings = [sgemm_rate()]
    walls, users, systems = [], [], []
    for _ in range(STEPS_MEASURED):
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        step(inputs, targets)
        walls.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_SELF)
        users.append(after.ru_utime - before.ru_utime)
        systems.append(after.ru_stime - before.ru_stime)
        ceilings.append(sgemm_rate())
    return {
        "wall_s": round(statistics.mean(walls), 2),
        "cpu_s": round(statistics.mean(users) + statistics.mean(systems), 2),
        "kernel_s": round(statistics.mean(systems), 2),
        "ceiling_gflops": round(statistics.mean(ceilings), 1),
        "peak_gb": round(after.ru_maxrss * 1024 / 1e9, 1),
    }


def sgemm_rate(size: int = 2048, repeats: int = 8) -> float:
    """Billions of operations a second in products of large float32 matrices."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    product = a @ b
    started = time.perf_counter()
    for _ in range(repeats):
        torch.mm(a, b, out=product)
    return repeats * 2 * size**3 / (time.perf_counter() - started) / 1e9


def summarise(runs: list[dict]) -> dict:
    """Medians, the spread of wall time, and the share of the ceiling reached."""
    summary = {
        key: round(statistics.median(r[key] for r in runs), 2) for key in runs[0]
    }
    walls = [run["wall_s"] for run in runs]
    summary["wall_s_lowest_highest"] = [min(walls), max(walls)]
    operations = training_flops(SMALL, BATCH_SIZE) / 1e9
    shares = [operations / run["wall_s"] / run["ceiling_gflops"] for run in runs]
    summary["share_of_ceiling"] = round(statistics.median(shares), 3)
    tokens = BATCH_SIZE * SMALL.context_len
    summary["tokens_per_s"] = round(tokens / statistics.median(walls), 1)
    summary["rounds"] = len(runs)
    return summary


def table(summary: dict) -> str:
    ours = summary.get("llm_helpers, kept")
    lines = [
        f"{'':42}{'wall s':>8}{'spread':>14}{'x ours':>8}{'CPU s':>8}{'x ours':>8}"
        f"{'kernel':>8}{'peak GB':>9}{'tokens/s':>10}{'ceiling':>9}"
    ]
    for name, s in summary.items():
        low, high = s["wall_s_lowest_highest"]
        wall = f"{s['wall_s'] / ours['wall_s']:.2f}" if ours else ""
        cpu = f"{s['cpu_s'] / ours['cpu_s']:.2f}" if ours else ""
        lines.append(
            f"{name:42}{s['wall_s']:>8.2f}{f'{low:.1f}-{high:.1f}':>14}{wall:>8}"
            f"{s['cpu_s']:>8.2f}{cpu:>8}{s['kernel_s']:>8.2f}{s['peak_gb']:>9.1f}"
            f"{s['tokens_per_s']:>10.1f}{s['share_of_ceiling']:>9.0%}"
        )
    return "\n".join(lines)


def in_a_process(name: str, keep: bool, dropout: float) -> dict:
    command = [sys.executable, __file__, "--dropout", str(dropout)]
    result = subprocess.run(
        [*command, "--measure", name, "kept" if keep else "published"],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(result.stdout.splitlines()[-1])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=STEPS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
