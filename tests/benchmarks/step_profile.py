"""Where the time of a GPT-2-small step goes, ours and the plain way: `make benchmarks`.

python tests/benchmarks/step_profile.py [--dropout 0.1]

PyTorch's profiler over one step after a first one, batch 2 x 1024, float32, all cores,
freed memory kept. Matrix products are work that every program has to do: they bound
what any change of the rest can gain.
"""

import argparse
from collections import Counter
from dataclasses import replace

import torch
from contenders import SMALL, STEPS
from results import machine, record_in
from torch.profiler import profile

from llm_helpers.memory import keep_freed_memory

KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm"),
    "fused attention": (
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    ),
    "random numbers of dropout": ("aten::bernoulli_",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dropout", type=float, default=0.1)
    args = parser.parse_args()
    keep_freed_memory()
    profiles = {name: measure(name, args.dropout) for name in ("llm_helpers", "plain")}
    print(f"\n{machine()}, dropout {args.dropout}, seconds of one step")
    for name, seconds in profiles.items():
        print(name, seconds)
    record_in("step_profile", f"dropout {args.dropout}", profiles)


def measure(name: str, dropout: float) -> dict:
    torch.manual_seed(123)
    _, step = STEPS[name](replace(SMALL, dropout=dropout), "cpu")
    ids = torch.randint(SMALL.vocabulary_size, (2, SMALL.context_len + 1))
    step(ids[:, :-1], ids[:, 1:])
    with profile() as watch:
        step(ids[:, :-1], ids[:, 1:])
    events = watch.key_averages()
    print(events.table(sort_by="self_cpu_time_total", row_limit=12))
    seconds = Counter({e.key: e.self_cpu_time_total / 1e6 for e in events})
    kinds = {kind: sum(seconds[op] for op in ops) for kind, ops in KINDS.items()}
    kinds["everything else"] = seconds.total() - sum(kinds.values())
    return {kind: round(value, 2) for kind, value in kinds.items()}


if __name__ == "__main__":
    main()
