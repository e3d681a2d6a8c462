"""The course's loop in one process and in two, beside its peers: `make benchmarks`.

python tests/benchmarks/processes.py [--dropout 0.1] [--rounds 2]

GPT-2 small, 2 windows of 1024 tokens in a step, float32. All runs share the same cores:
one process with all of them, or two with half of them and one window each. CPU seconds
and memory are summed over the processes, and so is the ceiling, which all measure at
the same time. The second step counts: the first makes the moments, and a checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace

import torch
from contenders import LEARNING_RATE, SMALL, WEIGHT_DECAY
from results import machine, record
from torch.utils.data import DataLoader
from training_step import BATCH_SIZE, in_a_process, sgemm_rate, summarise, table

from llm_helpers import GPTModel, LLMDataset, TrainingRun, load_tokenizer
from llm_helpers.memory import keep_freed_memory
from llm_helpers.parallel import from_all, process_group, processes_here, rank, total

ENGINES = {"1 process": 1, "2 processes, DDP": 2, "2 processes, FSDP": 2}
PEERS = (("plain", False), ("transformers", False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        measure(*args.measure, args.dropout)
        return
    results = {name: [] for name in [*ENGINES, *(name for name, _ in PEERS)]}
    for i in range(args.rounds):
        for engine in ENGINES:
            results[engine].append(in_processes(engine, args.dropout))
            print(i, engine, results[engine][-1], flush=True)
        for name, keep in PEERS:
            results[name].append(in_a_process(name, keep, args.dropout))
            print(i, name, results[name][-1], flush=True)
    summary = {name: summarise(runs) for name, runs in results.items()}
    print(f"\n{machine()}, dropout {args.dropout}, medians of {args.rounds} rounds")
    print(table(summary))
    record(processes=summary | {"dropout": args.dropout})


def in_processes(engine: str, dropout: float) -> dict:
    launcher = []
    if ENGINES[engine] > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone"]
        launcher += ["--nproc-per-node", str(ENGINES[engine])]
    with tempfile.TemporaryDirectory() as folder:
        program = [__file__, "--dropout", str(dropout), "--measure", engine, folder]
        command = [sys.executable, *launcher, *program]
        result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        raise RuntimeError(result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


def measure(engine: str, folder: str, dropout: float) -> None:
    """One step of the course's loop: seconds, CPU seconds, ceiling, peak memory."""
    keep_freed_memory()
    torch.set_num_threads(max(1, os.cpu_count() // processes_here()))
    with process_group(torch.device("cpu")) as (device, _):
        figures = measure_step(make_run(engine, dropout, device, folder))
        if rank() == 0:
            print(json.dumps(figures))


def measure_step(run: TrainingRun) -> dict:
    records = run.steps()
    next(records)
    ceilings = [total(sgemm_rate())]
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    next(records)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    ceilings.append(total(sgemm_rate()))
    system = total(after.ru_stime - before.ru_stime)
    return {
        "wall_s": round(max(from_all(wall)), 2),
        "cpu_s": round(total(after.ru_utime - before.ru_utime) + system, 2),
        "kernel_s": round(system, 2),
        "ceiling_gflops": round(sum(ceilings) / 2, 1),
        "peak_gb": round(total(after.ru_maxrss) * 1024 / 1e9, 1),
    }


def make_run(engine: str, dropout: float, device, folder: str) -> TrainingRun:
    torch.manual_seed(123)
    tokenizer = load_tokenizer("gpt2")
    tokens = torch.randint(SMALL.vocabulary_size, (3 * 2 * SMALL.context_len + 1,))
    windows = LLMDataset.from_tokens(tokens, SMALL.context_len, SMALL.context_len)
    model = GPTModel.from_config(replace(SMALL, dropout=dropout))
    if engine.endswith("FSDP"):
        from llm_helpers.sharding import shard

        shard(model, device)
    return TrainingRun(
        model=model,
        optimizer=torch.optim.AdamW(
            model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        ),
        train_loader=DataLoader(windows, batch_size=BATCH_SIZE, shuffle=True),
        num_epochs=1,
        device=device,
        eval_freq=100,
        eval_iter=1,
        tokenizer=tokenizer,
        start_context="In",
        save_freq=100,
        checkpoint_dir=folder,
        say=lambda line: None,
    )


if __name__ == "__main__":
    main()
