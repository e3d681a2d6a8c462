"""Tokens per second of greedy sampling at GPT-2-small size: `make benchmarks`.

python tests/benchmarks/sampling.py [--rounds 3] [--tokens 512]

512 tokens after a prompt of 16, float32, all cores. The course's `generate` and
`transformers`' take turns, both with their cache; the course's without one is so slow
that it runs once. The weights are random: time does not depend on them.
"""

import argparse
import resource
import statistics
import time

import torch
from contenders import SMALL, transformers_model
from results import machine, record_in

from llm_helpers import GPTModel, generate
from llm_helpers.memory import keep_freed_memory

PROMPT_TOKENS = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=512)
    args = parser.parse_args()
    keep_freed_memory()
    torch.manual_seed(123)
    ours, theirs = GPTModel.from_config(SMALL), transformers_model(SMALL).eval()
    prompt = torch.randint(SMALL.vocabulary_size, (1, PROMPT_TOKENS))
    count = args.tokens

    def with_cache():
        return generate(ours, prompt, count, SMALL.context_len, top_k=1)

    def without_cache():
        return generate(
            ours, prompt, count, SMALL.context_len, top_k=1, use_cache=False
        )

    def transformers():
        return theirs.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=False,
            max_new_tokens=count,
            min_new_tokens=count,
            pad_token_id=0,
        )

    times = {"llm_helpers": [], "transformers": []}
    for i in range(args.rounds):
        for name, action in (
            ("llm_helpers", with_cache),
            ("transformers", transformers),
        ):
            times[name].append(timed(action, count))
            print(i, name, times[name][-1], flush=True)
    times["llm_helpers without cache"] = [timed(without_cache, count)]
    print(f"\n{machine()}, {count} tokens, medians of {args.rounds} rounds")
    for name, runs in times.items():
        figures = {
            key: round(statistics.median(run[key] for run in runs), 2)
            for key in runs[0]
        }
        figures["tokens_per_s"] = round(count / figures["wall_s"], 2)
        print(f"{name:28}", figures)
        record_in("sampling", name, figures)


def timed(action, count: int) -> dict:
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    ids = action()
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert ids.shape[1] == PROMPT_TOKENS + count
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall_s": round(seconds, 2), "cpu_s": round(cpu, 2)}


if __name__ == "__main__":
    main()
