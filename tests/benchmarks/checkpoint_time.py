"""What saving costs: `save_checkpoint` against plain `torch.save` and fsync.

python tests/benchmarks/checkpoint_time.py [folder on the disk to measure]

The tensors are those of a 60-million-parameter GPT and its AdamW, 720 MB. Both write
them to the same disk, in turns; the medians are compared.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from llm_helpers import GPTConfig, GPTModel, save_checkpoint

ROUNDS = 7
LARGEST_RATIO = 2.0


def main() -> None:
    model = GPTModel.from_config(GPTConfig(embedding_dim=528, num_layers=2))
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    plain, ours = [], []
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as name:
        folder = Path(name)
        for i in range(ROUNDS):
            plain.append(_seconds(lambda: _save_plainly(folder, model, optimizer)))
            ours.append(_seconds(lambda: save_checkpoint(folder, 0, model, optimizer)))
            print(
                f"{i}: torch.save {plain[-1]:.2f} s, save_checkpoint {ours[-1]:.2f} s"
            )
    ratio = statistics.median(ours) / statistics.median(plain)
    print(
        f"{millions:.0f} million parameters, medians of {ROUNDS}: "
        f"torch.save and fsync {statistics.median(plain):.2f} s, "
        f"save_checkpoint {statistics.median(ours):.2f} s, ratio {ratio:.2f} "
        f"(at most {LARGEST_RATIO})"
    )
    sys.exit(ratio > LARGEST_RATIO)


def _save_plainly(folder: Path, model, optimizer) -> None:
    for name, part in (("model", model), ("optimizer", optimizer)):
        with open(folder / f"plain_{name}.pth", "wb") as file:
            torch.save(part.state_dict(), file)
            file.flush()
            os.fsync(file.fileno())


def _seconds(action) -> float:
    os.sync()
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
