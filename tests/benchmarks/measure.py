"""Measure what the README quotes and write it to results.json: `make results`.

Lesson times are wall time of a fresh kernel, start included. Memory and import time are
measured in a process of their own. Timings depend on the machine, which is named.
"""

import subprocess
import sys
import time
from pathlib import Path

from results import RESULTS_PATH, record

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from execute_notebooks import lesson_paths

IMPORT_TIME = """
import time
start = time.perf_counter()
import llm_helpers
print(time.perf_counter() - start)
"""

MEMORY_GROWTH = """
import resource, tempfile
import torch
from torch.utils.data import DataLoader
from llm_helpers import GPTModel, LLMDataset, TrainingRun, load_tokenizer, set_up

set_up()
dataset = LLMDataset.from_tokens(torch.randint(50257, (64 * 100 + 1,)), 64, 64)
model = GPTModel(32, 1, 2, 64, 50257, 0.1, False)
loader = DataLoader(dataset, batch_size=2, shuffle=True)
with tempfile.TemporaryDirectory() as folder:
    run = TrainingRun(
        model=model, optimizer=torch.optim.AdamW(model.parameters()),
        train_loader=loader, val_loader=loader, num_epochs=8, device="cpu",
        eval_freq=25, eval_iter=1, tokenizer=load_tokenizer(), start_context="In",
        save_freq=25, checkpoint_dir=folder, keep_last=1, say=lambda line: None)
    peaks = {}
    for record in run.steps():
        peaks[record.global_step] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((peaks[399] - peaks[99]) / 1024)
"""


def printed_by(program: str) -> float:
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return float(result.stdout.splitlines()[-1])


def lesson_seconds() -> dict[str, int]:
    seconds = {}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    for path in lesson_paths():
        start = time.monotonic()
        subprocess.run([*command, str(path)], check=True, stdout=subprocess.DEVNULL)
        seconds[path.stem] = round(time.monotonic() - start)
        print(path.stem, seconds[path.stem], "s", flush=True)
    return seconds


def main() -> None:
    record(
        import_seconds=round(min(printed_by(IMPORT_TIME) for _ in range(3)), 1),
        memory_growth_mb_steps_100_to_400=round(printed_by(MEMORY_GROWTH), 1),
        lesson_seconds=lesson_seconds(),
    )
    print(RESULTS_PATH.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
