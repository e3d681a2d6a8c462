"""The series' own run, for the record: `python tests/benchmarks/gpt2_small_run.py zh`.

GPT-2 small, context 1024, batch 2, 10 epochs on the course's texts, by the command line
that a reader would type. What it showed goes to data/recorded_runs, without weights; a
run that was interrupted is continued. Needs Linux, 9 GB of memory, 6 GB of disk, and 33
(zh) or 55 (en) minutes of CPU time on the machine that the record names.
"""

import argparse
import json
import platform
import resource
import sys
import time
from pathlib import Path

import torch
from results import machine

from llm_helpers import DATA_DIR, pretrain, read_state
from llm_helpers.checkpoint_folder import list_checkpoints

PROMPTS = {"en": "In Tern Haven,", "zh": "山下的人"}
SETTINGS = (
    "--embedding-dim 768 --layers 12 --heads 12 --context-len 1024 --dropout 0.1 "
    "--epochs 10 --batch-size 2 --lr 6e-4 --weight-decay 0.1 --seed 123 "
    "--eval-freq 5 --eval-iter 1 --save-freq 5 --keep-last 2 --resume"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("language", choices=PROMPTS)
    parser.add_argument("--out", default="runs/gpt2-small")
    args = parser.parse_args()
    texts, folder = DATA_DIR / args.language, Path(args.out) / args.language
    where = ["--train", str(texts / "train"), "--val", str(texts / "val")]
    where += ["--prompt", PROMPTS[args.language], "--out", str(folder)]
    if finished(folder):
        sys.exit(f"{folder} holds a finished run; give another --out")
    start = time.monotonic()
    pretrain.main([*where, *SETTINGS.split()])
    spent = add_to_log(folder / "sessions.json", time.monotonic() - start)
    if finished(folder):
        record(args.language, folder, spent)


def finished(folder: Path) -> bool:
    numbers = list_checkpoints(folder)
    return bool(numbers) and read_state(folder, numbers[-1])["position"]["epoch"] == 10


def add_to_log(path: Path, seconds: float) -> dict:
    """What this and all earlier sessions of the run have taken."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    spent = {
        "wall_minutes": before.get("wall_minutes", 0) + seconds / 60,
        "cpu_minutes": before.get("cpu_minutes", 0)
        + (used.ru_utime + used.ru_stime) / 60,
        "peak_gb": max(before.get("peak_gb", 0), used.ru_maxrss / 2**20),
    }
    path.write_text(json.dumps(spent), encoding="utf-8")
    return spent


def record(language: str, folder: Path, spent: dict) -> None:
    numbers = list_checkpoints(folder)
    state = read_state(folder, numbers[-1])
    run = {
        "settings": SETTINGS,
        "prompt": PROMPTS[language],
        "machine": machine(),
        "torch": torch.__version__.split("+")[0],
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        **{name: round(value, 1) for name, value in spent.items()},
        "checkpoints_kept": numbers,
        "history": state["history"],
        "log": state["log"],
    }
    path = DATA_DIR / "recorded_runs" / f"gpt2_small_{language}.json"
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(run, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
