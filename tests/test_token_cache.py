"""Token streams on disk: the same tokens, made once, larger than memory."""

import random
import subprocess
import sys

import pytest
import torch
from tiny import CharTokenizer
from torch.utils.data import DataLoader

from llm_helpers import DATA_DIR, LLMDataset, split_dataset, token_cache
from llm_helpers.tokenizer import END_OF_TEXT_ID

ALPHABET = (
    *("the", "ferry", "x1", "don't", "  ", " ", "\n", "\n\n", "\r\n", "\t", "\u00a0"),
    *("船家", "灯。", "，", "!?", "<|endoftext|>", "é", "🌊", "\x1c", "3", "\u2028"),
)


def some_text(seed, num_words):
    return "".join(random.Random(seed).choices(ALPHABET, k=num_words))


def write(folder, **texts):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8", newline="")
    return folder


def dataset(folder, vocabulary="gpt2", **other):
    end = END_OF_TEXT_ID if vocabulary == "gpt2" else 0
    return LLMDataset(folder, vocabulary, end, 8, 8, **other)


# The same windows


@pytest.mark.parametrize("piece", [1, 7, 50, 1000, 2**20])
def test_a_text_cut_into_pieces_has_the_same_tokens(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(token_cache, "PIECE_CHARACTERS", piece)
    texts = {f"t{seed}": some_text(seed, 60 + 30 * seed) for seed in range(8)}
    folder = write(tmp_path / "texts", empty="", **texts)
    expected = dataset(folder).tokens
    cached = dataset(folder, cache_dir=tmp_path / "cache").tokens
    assert torch.equal(cached.long(), expected)


def test_the_courses_texts_have_the_same_windows(tmp_path):
    for language in ("en", "zh"):
        folder = DATA_DIR / language / "train"
        plain, cached = dataset(folder), dataset(folder, cache_dir=tmp_path)
        assert len(plain) == len(cached)
        for (a, b), (c, d) in zip(plain, cached, strict=True):
            assert torch.equal(a, c)
            assert torch.equal(b, d)
            assert c.dtype == d.dtype == torch.int64


def test_a_tokenizer_of_ones_own_gets_whole_texts(tmp_path):
    folder = write(tmp_path / "texts", a="the ferry waits", b="for no one at all")
    cached = dataset(folder, CharTokenizer(), cache_dir=tmp_path / "cache")
    assert torch.equal(cached.tokens.long(), dataset(folder, CharTokenizer()).tokens)


def test_a_large_vocabulary_is_kept_in_four_bytes(tmp_path):
    class Large(CharTokenizer):
        n_vocab = 2**16 + 1

        def encode_ordinary(self, text):
            return [2**16] * len(text)

        def decode(self, tokens):
            return "x" * len(tokens)

    folder = write(tmp_path / "texts", a="the ferry waits")
    cached = dataset(folder, Large(), cache_dir=tmp_path / "cache")
    assert cached.tokens.dtype == torch.int32
    assert cached.tokens.tolist() == [2**16] * 15 + [0]


def test_a_cached_stream_can_be_split_loaded_and_trained_on(tmp_path):
    folder = write(tmp_path / "texts", a=some_text(1, 600))
    plain = split_dataset(dataset(folder), 0.2)
    cached = split_dataset(dataset(folder, cache_dir=tmp_path / "cache"), 0.2)
    for one, other in zip(plain, cached):
        batches = zip(DataLoader(one, 4), DataLoader(other, 4), strict=True)
        assert all(
            torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in batches
        )


def test_windows_of_a_stream_in_memory_are_views_of_it(tmp_path):
    windows = dataset(write(tmp_path, a=some_text(1, 100)))
    inputs, targets = windows[1]
    storage = windows.tokens.untyped_storage().data_ptr()
    assert inputs.untyped_storage().data_ptr() == storage
    assert targets.untyped_storage().data_ptr() == storage


# Made once, and anew when something changes


def test_a_second_dataset_reads_the_file_of_the_first(tmp_path, monkeypatch):
    folder, cache = write(tmp_path / "texts", a=some_text(1, 100)), tmp_path / "cache"
    first = dataset(folder, cache_dir=cache).tokens.long()

    def fail(*_):
        raise AssertionError("the text was tokenised again")

    monkeypatch.setattr(token_cache, "_encode", fail)
    assert torch.equal(dataset(folder, cache_dir=cache).tokens.long(), first)


@pytest.mark.parametrize("change", ["text", "order", "tokenizer", "special token"])
def test_another_text_or_tokenizer_has_a_file_of_its_own(tmp_path, change):
    class Other(CharTokenizer):
        def decode(self, tokens):
            return super().decode(tokens).upper()

    folder, cache = write(tmp_path / "texts", a="the ferry", b="waits"), tmp_path / "c"
    vocabulary, end = CharTokenizer(), 0
    LLMDataset(folder, vocabulary, end, 4, 4, cache_dir=cache)
    if change == "text":
        write(folder, a="the ferrz")
    elif change == "order":
        write(folder, a="waits", b="the ferry")
    elif change == "tokenizer":
        vocabulary = Other()
    else:
        end = 1
    LLMDataset(folder, vocabulary, end, 4, 4, cache_dir=cache)
    assert len(list(cache.iterdir())) == 2


def test_nothing_is_left_of_a_stream_that_could_not_be_finished(tmp_path):
    folder = write(tmp_path / "texts", a=some_text(1, 100))
    (folder / "b.txt").write_bytes("Käse".encode("latin-1"))
    with pytest.raises(ValueError, match=r"b\.txt is not UTF-8 .*encoding UTF-8"):
        dataset(folder, cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_zero_bytes_are_refused_in_a_piece_too(tmp_path):
    folder = write(tmp_path / "texts", a="the ferry\0")
    with pytest.raises(ValueError, match="zero bytes, as UTF-16 does"):
        dataset(folder, cache_dir=tmp_path / "cache")


# Constant memory

PEAK_GROWTH = """
import resource, sys
from llm_helpers import LLMDataset
LLMDataset(sys.argv[2], "gpt2", 50256, 8, 8, cache_dir=sys.argv[3])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
LLMDataset(sys.argv[1], "gpt2", 50256, 8, 8, cache_dir=sys.argv[3])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory in Linux's units")
def test_memory_does_not_grow_with_the_text(tmp_path):
    words = "The ferry waits for no one, and the old woman lit the lamp. "
    small = write(tmp_path / "small", a=words * 250_000)  # 15 MB
    large = write(tmp_path / "large", a=words * 1_000_000)  # 60 MB
    grown = subprocess.run(
        [sys.executable, "-c", PEAK_GROWTH, large, small, tmp_path / "cache"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert int(grown) / 1024 < 25  # MB; the text alone has 45 MB more
