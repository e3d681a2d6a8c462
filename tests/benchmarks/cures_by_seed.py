"""Lesson 05's cures with eight seeds each: the losses of its exercise 2.

Prints the best validation loss (nats per token) of every seed and cure. Settings and
early stopping are lesson 05's; each seed has training windows of its own, the same for
all cures. Takes about half an hour on two cores.
"""

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, RandomSampler

from llm_helpers import GPTModel, evaluation_mode, set_up, story_windows, tern_haven

CONTEXT_LEN, BATCH_SIZE, MAX_STEPS, EVAL_FREQ, PATIENCE = 80, 32, 400, 10, 3
CURES = {
    "no cure": {},
    "weight decay 3": dict(weight_decay=3.0),
    "dropout 0.1": dict(dropout=0.1),
    "48 wide": dict(width=48),
}


def windows(num_windows: int, seed: int):
    return story_windows(tern_haven(), num_windows, CONTEXT_LEN, seed=seed)


def loss_on(model, inputs, targets):
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def best_loss(seed, val_batch, dropout=0.0, weight_decay=0.1, width=96) -> float:
    """Train until the validation loss has not fallen for PATIENCE evaluations."""
    train_windows = windows(64, 1000 + seed)
    torch.manual_seed(seed)
    num_tokens = tern_haven().tokenizer.n_vocab
    model = GPTModel(width, 2, 4, CONTEXT_LEN, num_tokens, dropout, False)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=2e-3, weight_decay=weight_decay
    )
    draws = torch.Generator().manual_seed(seed)
    sampler = RandomSampler(
        train_windows, num_samples=BATCH_SIZE * MAX_STEPS, generator=draws
    )
    loader = DataLoader(train_windows, BATCH_SIZE, sampler=sampler, generator=draws)
    lowest, since = float("inf"), 0
    for step, batch in enumerate(loader):
        optimizer.zero_grad()
        loss_on(model, *batch).backward()
        optimizer.step()
        if step % EVAL_FREQ == 0:
            with evaluation_mode(model):
                loss = loss_on(model, *val_batch).item()
            since = 0 if loss < lowest else since + 1
            lowest = min(lowest, loss)
            if since == PATIENCE:
                break
    return lowest


def main() -> None:
    set_up(num_threads=1)
    val_batch = next(iter(DataLoader(windows(128, 2), batch_size=128)))
    for seed in range(1, 9):
        losses = {
            name: round(best_loss(seed, val_batch, **cure), 3)
            for name, cure in CURES.items()
        }
        print(f"seed {seed}: {losses}", flush=True)


if __name__ == "__main__":
    main()
