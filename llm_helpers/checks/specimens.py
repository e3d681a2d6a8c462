"""The small models, batches and loaders on which the checks try an answer.

Shapes: B = batch, T = tokens, V = vocabulary.
"""

import torch
from torch.utils.data import DataLoader, TensorDataset

from llm_helpers.model import GPTModel

CONTEXT_LEN = 8
VOCABULARY_SIZE = 20


def small_model(dropout: float = 0.0, seed: int = 1) -> GPTModel:
    """A GPT of one block and 16 channels, in train mode; the seed sets its weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return GPTModel(16, 1, 2, CONTEXT_LEN, VOCABULARY_SIZE, dropout, False)


def small_windows(num_windows: int = 4, seed: int = 2) -> TensorDataset:
    """Windows of random tokens: inputs and targets, each (CONTEXT_LEN,), int64."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(
        VOCABULARY_SIZE, (num_windows, CONTEXT_LEN + 1), generator=generator
    )
    return TensorDataset(tokens[:, :-1], tokens[:, 1:])


def small_batch(num_windows: int = 4, seed: int = 2) -> tuple[torch.Tensor, ...]:
    """One batch of such windows: inputs and targets, each (B, T)."""
    return small_windows(num_windows, seed).tensors


def small_loader(num_windows: int = 5, batch_size: int = 2) -> DataLoader:
    """Batches of such windows in a fixed order; the last of five windows is ragged."""
    return DataLoader(small_windows(num_windows), batch_size)


def weights_of(model: torch.nn.Module) -> torch.Tensor:
    """A copy of all parameters of a model, in one row."""
    return torch.cat([p.detach().flatten() for p in model.parameters()]).clone()
