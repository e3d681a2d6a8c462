"""Texts to (input, target) windows for next-token prediction.

N = tokens in the stream, T = tokens in a window (the context length), B = windows in a
batch. Documents are joined into one stream of token ids, each followed by a special
token, and windows are cut from the stream, across documents. Targets are the inputs
moved by one token (Radford et al. 2019).
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Protocol

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from llm_helpers.texts import read_text, text_files
from llm_helpers.token_cache import cached_tokens
from llm_helpers.tokenizer import load_tokenizer

EVALUATION_SEED = 0  # which batches of a shuffled loader an evaluation reads


class Vocabulary(Protocol):
    """What the course needs of a tokenizer; `tiktoken.Encoding` fits."""

    n_vocab: int

    def encode_ordinary(self, text: str) -> list[int]: ...

    def decode(self, tokens: list[int]) -> str: ...


class LLMDataset(Dataset):
    """Windows of a token stream: item i is (input ids, target ids), int64, each (T,).

    Args:
        data_path: a folder of UTF-8 `.txt` files, read in sorted order, or one file.
        vocabulary: a tokenizer's name, or an object with `encode_ordinary`, `decode`
            and `n_vocab`.
        special_token_id: appended to every document; 50256, end of text, for GPT-2.
        context_len: T, the tokens in one window.
        stride: tokens from the start of one window to the start of the next; equal to
            `context_len`, every token is an input at most once.
        cache_dir: keep the token stream in this folder, mapped into memory, so that
            texts are tokenised once and may be larger than memory; see `token_cache`.

    Raises:
        FileNotFoundError: no such path, or a folder without `.txt` files.
        ValueError: a file is not UTF-8, the special token lies outside the vocabulary,
            or the text is shorter than one window.
    """

    def __init__(
        self,
        data_path: str | Path,
        vocabulary: str | Vocabulary,
        special_token_id: int,
        context_len: int,
        stride: int,
        *,
        cache_dir: str | Path | None = None,
    ):
        if isinstance(vocabulary, str):
            vocabulary = load_tokenizer(vocabulary)
        _check_special_token(special_token_id, vocabulary.n_vocab)
        paths = text_files(data_path)
        if cache_dir is None:
            tokens = _tokenise(paths, vocabulary, special_token_id)
        else:
            tokens = cached_tokens(paths, vocabulary, special_token_id, cache_dir)
        self._init_from_tokens(tokens, context_len, stride, str(data_path))

    @classmethod
    def from_tokens(
        cls, tokens: torch.Tensor, context_len: int, stride: int
    ) -> LLMDataset:
        """Windows of a stream of token ids that is at hand: whole numbers, (N,)."""
        dataset = cls.__new__(cls)
        dataset._init_from_tokens(tokens, context_len, stride, "the token stream")
        return dataset

    def _init_from_tokens(self, tokens, context_len, stride, source):
        for name, value in (("context_len", context_len), ("stride", stride)):
            if value < 1:
                raise ValueError(f"{name}={value} must be at least 1")
        if len(tokens) < context_len + 1:
            raise ValueError(
                f"{source} holds {len(tokens)} tokens, fewer than one window of "
                f"context_len={context_len} and its target; add text or lower it"
            )
        self.tokens = tokens  # (N,)
        self.context_len = context_len
        self.stride = stride

    def __len__(self) -> int:
        return (len(self.tokens) - 1 - self.context_len) // self.stride + 1

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        start = (index % len(self)) * self.stride
        window = self.tokens[start : start + self.context_len + 1].long()
        return window[:-1], window[1:]


def split_dataset(
    dataset: LLMDataset, val_fraction: float
) -> tuple[LLMDataset, LLMDataset]:
    """Cut the token stream in two: the first part to train on, the rest to validate.

    No token is in both parts. Raises ValueError if a part is shorter than one window.
    """
    if not 0.0 < val_fraction < 1.0:
        raise ValueError(f"val_fraction={val_fraction} must lie between 0 and 1")
    cut = round(len(dataset.tokens) * (1.0 - val_fraction))
    train, val = (
        LLMDataset.from_tokens(part, dataset.context_len, dataset.stride)
        for part in (dataset.tokens[:cut], dataset.tokens[cut:])
    )
    return train, val


def evaluation_loader(data_loader):
    """A loader over the same dataset that leaves `data_loader` and all RNGs alone.

    `iter()` of any DataLoader draws from the global RNG, and a second iteration over
    one with persistent workers resets the first. So an evaluation reads a loader of its
    own, with a private generator: the same batches at every call, so that losses
    compare. An iterable that is not a DataLoader is returned as it is.
    """
    if not isinstance(data_loader, DataLoader):
        return data_loader
    generator = torch.Generator().manual_seed(EVALUATION_SEED)
    settings = dict(collate_fn=data_loader.collate_fn, generator=generator)
    if isinstance(data_loader.dataset, IterableDataset):
        settings["batch_size"] = data_loader.batch_size
        settings["drop_last"] = data_loader.drop_last
    elif data_loader.batch_sampler is None:
        settings["batch_size"] = None
        settings["sampler"] = _copy_of_sampler(data_loader.sampler, generator)
    else:
        sampler = _copy_of_sampler(data_loader.batch_sampler, generator)
        settings["batch_sampler"] = sampler
    return DataLoader(data_loader.dataset, **settings)


def _copy_of_sampler(sampler, generator: torch.Generator):
    """The same windows in the same manner, but drawn with `generator`."""
    sampler = copy.copy(sampler)
    if hasattr(sampler, "generator"):
        sampler.generator = generator
    if hasattr(sampler, "sampler"):  # what a batch sampler draws from
        sampler.sampler = _copy_of_sampler(sampler.sampler, generator)
    return sampler


def _tokenise(paths: list[Path], vocabulary, special_token_id: int) -> torch.Tensor:
    tokens: list[int] = []
    for path in paths:
        tokens += vocabulary.encode_ordinary(read_text(path))
        tokens.append(special_token_id)
    return torch.tensor(tokens)


def _check_special_token(special_token_id: int, vocabulary_size: int) -> None:
    if not 0 <= special_token_id < vocabulary_size:
        raise ValueError(
            f"special_token_id={special_token_id} is outside the vocabulary of "
            f"{vocabulary_size} tokens; GPT-2's end of text is 50256"
        )
