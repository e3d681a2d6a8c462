"""What every test starts from: a fixed seed, small models, loaders and texts."""

import pytest
import torch
from tiny import CharTokenizer, tiny_model, train_batches, val_batches

torch.set_num_threads(1)  # tiny tensors: a second thread would only wait


@pytest.fixture(autouse=True)
def fixed_seed():
    """Every test starts from the same random state, whatever ran before it."""
    torch.manual_seed(0)


@pytest.fixture
def tokenizer():
    return CharTokenizer()


@pytest.fixture
def model():
    return tiny_model()


@pytest.fixture
def train_loader():
    return train_batches()


@pytest.fixture
def val_loader():
    return val_batches()


@pytest.fixture
def write_texts(tmp_path):
    """Writes {name: text or bytes} into a new folder and returns its path."""

    def write(texts, folder="texts"):
        path = tmp_path / folder
        path.mkdir(parents=True)
        for name, text in texts.items():
            content = text if isinstance(text, bytes) else text.encode("utf-8")
            (path / name).write_bytes(content)
        return path

    return write
