"""Kill, damage and starve runs, and print what came of it.

python tests/faults/campaign.py [--kills 100] [--rank-kills 10] [--seed 0]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from faults import damage, full_disk, kills, rank_kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--rank-kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'fault':<52}{'held':>6}{'of':>6}{'seconds':>9}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        failures = [
            *_kills(folder, args.kills, args.seed),
            *_rank_kills(folder, args.rank_kills, args.seed),
            *_damage(folder),
            *_full_disk(folder),
        ]
    for failure in failures:
        print(f"FAILED: {failure}")
    sys.exit(bool(failures))


def _row(name: str, held: int, of: int, started: float | None = None) -> None:
    seconds = "" if started is None else f"{time.monotonic() - started:9.1f}"
    print(f"{name:<52}{held:>6}{of:>6}{seconds}", flush=True)


def _kills(folder: Path, num_kills: int, seed: int) -> list:
    started = time.monotonic()
    attempts = list(kills.attempts(folder, num_kills, seed))
    same = sum(a.identical for a in attempts)
    _row("SIGKILL: goes on to bit-identical ends", same, num_kills, started)
    for name, chosen in {
        "inside a save": [a for a in attempts if a.in_a_save],
        "left temporary or incomplete files": [a for a in attempts if a.left_something],
        "of runs that prune (keep_last=2)": [a for a in attempts if a.pruning],
        "before the first checkpoint": [a for a in attempts if not a.checkpoints],
    }.items():
        _row(f"    {name}", sum(a.identical for a in chosen), len(chosen))
    _row("    no temporary file afterwards", sum(a.tidy for a in attempts), num_kills)
    return [a for a in attempts if not (a.identical and a.tidy)]


def _rank_kills(folder: Path, num_kills: int, seed: int) -> list:
    started = time.monotonic()
    attempts = list(rank_kills.attempts(folder / "rank-kills", num_kills, seed))
    same = sum(a.identical for a in attempts)
    _row("SIGKILL of 1 of 2 processes: bit-identical ends", same, num_kills, started)
    for name, chosen in {
        "a copy in each process (DDP)": [a for a in attempts if not a.fsdp],
        "a slice in each process (FSDP)": [a for a in attempts if a.fsdp],
        "of rank 0, which writes": [a for a in attempts if a.rank == 0],
        "inside a save": [a for a in attempts if a.in_a_save],
        "of runs that prune (keep_last=2)": [a for a in attempts if a.pruning],
        "before the first checkpoint": [a for a in attempts if not a.checkpoints],
    }.items():
        _row(f"    {name}", sum(a.identical for a in chosen), len(chosen))
    once = sum(a.restarts == 1 for a in attempts)
    _row("    torchrun started both again, once", once, num_kills)
    _row("    no traceback", sum(a.plain for a in attempts), num_kills)
    told = sum(a.told for a in attempts)
    _row("    the process left alone said so", told, num_kills)
    return [a for a in attempts if not (a.identical and a.restarts == 1 and a.plain)]


def _damage(folder: Path) -> list:
    started = time.monotonic()
    runs = damage.Runs(folder)
    verdicts = [
        damage.verdict(case, runs, folder / f"case-{number}")
        for number, case in enumerate(damage.CASES)
    ]
    held = [all(verdict) for verdict in verdicts]
    _row("damaged checkpoints: all of what follows", sum(held), len(held), started)
    for name in damage.Verdict._fields[1:]:
        count = sum(getattr(verdict, name) for verdict in verdicts)
        _row(f"    {name.replace('_', ' ')}", count, len(held))
    return [(c.name, v) for c, v, h in zip(damage.CASES, verdicts, held) if not h]


def _full_disk(folder: Path) -> list:
    failures = []
    with full_disk.small_disk(folder / "disk") as mounted:
        for name, run in list(full_disk.CASES.items())[0 if mounted else 2 :]:
            started = time.monotonic()
            verdict = run(folder / "disk" / name)
            _row(f"full disk: {name}", int(all(verdict)), 1, started)
            if not all(verdict):
                failures.append((name, verdict))
    return failures


if __name__ == "__main__":
    main()
