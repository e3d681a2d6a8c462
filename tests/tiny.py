"""Small stand-ins that the tests build on: characters as tokens, models 16 wide."""

import torch
from torch.utils.data import DataLoader

from llm_helpers import GPTModel, LLMDataset, pretrain_model

ALPHABET = "|abcdefghijklmnopqrstuvwxyz .,\n"
END_OF_TEXT = 0  # shown as |
CONTEXT_LEN = 8
BATCH_SIZE = 2
TEXT = (
    "the ferry waits for no one, said the old woman.\nthe boy sat down.\n"
    "he had a lamp, a loaf and a letter.\nthe river was wide and the night was long.\n"
    "who lit the lamp, he asked.\nno one lit it, she said, it has always burned.\n"
)


class CharTokenizer:
    """One token for each character of a small alphabet."""

    n_vocab = len(ALPHABET)

    def encode_ordinary(self, text):
        return [ALPHABET.index(character) for character in text]

    def decode(self, tokens):
        return "".join(ALPHABET[token] for token in tokens)


def tiny_model(dropout=0.0, seed=1, **changes):
    """A GPT of 16 channels; the seed decides its weights."""
    torch.manual_seed(seed)
    sizes = dict(
        embedding_dim=16,
        num_layers=1,
        num_heads=2,
        context_len=CONTEXT_LEN,
        vocabulary_size=CharTokenizer.n_vocab,
        dropout=dropout,
        qkv_bias=False,
    )
    return GPTModel(**sizes | changes)


def adamw(model, **changes):
    """The course's optimizer."""
    return torch.optim.AdamW(
        model.parameters(), **dict(lr=6e-4, weight_decay=0.1) | changes
    )


def tiny_dataset(num_windows=14, skip=0):
    """That many windows of the text, from its token number `skip` on."""
    tokens = torch.tensor(CharTokenizer().encode_ordinary(TEXT))
    tokens = tokens[skip : skip + num_windows * CONTEXT_LEN + 1]
    return LLMDataset.from_tokens(tokens, CONTEXT_LEN, CONTEXT_LEN)


def train_batches(generator=None, num_batches=7, **settings):
    """A shuffled loader of 7 batches, 2 windows each."""
    dataset = tiny_dataset(num_batches * BATCH_SIZE)
    return DataLoader(
        dataset,
        batch_size=BATCH_SIZE,
        shuffle=True,
        drop_last=True,
        generator=generator,
        **settings,
    )


def val_batches():
    """A loader of 3 batches, not shuffled."""
    return DataLoader(tiny_dataset(6, skip=120), batch_size=BATCH_SIZE)


def run_settings(folder, model=None, **changes):
    """Arguments of `pretrain_model` for a quick run, as changed by the test."""
    model = tiny_model() if model is None else model
    return dict(
        model=model,
        optimizer=adamw(model),
        train_loader=train_batches(),
        num_epochs=1,
        device="cpu",
        eval_freq=5,
        eval_iter=1,
        tokenizer=CharTokenizer(),
        start_context="the ",
        save_freq=5,
        checkpoint_dir=folder,
        val_loader=val_batches(),
    ) | dict(changes)


def pretrain(folder, model=None, **changes):
    """Train a model as `run_settings` says; returns the model."""
    settings = run_settings(folder, model, **changes)
    pretrain_model(**settings)
    return settings["model"]


def as_the_series_wrote(folder):
    """Leave a folder's weights and optimizers, and nothing else of its checkpoints."""
    for path in [*folder.glob("manifest_*.json"), *folder.glob("state_*.pth")]:
        path.unlink()


def copy_of(state):
    """A deep copy of a state dict, to compare with later."""
    if isinstance(state, torch.Tensor):
        return state.detach().clone()
    if isinstance(state, dict):
        return {key: copy_of(value) for key, value in state.items()}
    if isinstance(state, list):
        return [copy_of(value) for value in state]
    return state


def same(one, other):
    """Whether two state dicts are equal, tensors bit by bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
