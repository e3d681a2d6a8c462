"""GPT-2's tokenizer from the repository's own file, and a tokenizer of words."""

import socket

import pytest
import tiktoken_ext.openai_public

from llm_helpers import LLMDataset, WordTokenizer, load_tokenizer
from llm_helpers import tokenizer as tokenizer_module


@pytest.fixture
def no_cache():
    """The tokenizer is read from its file in this test and in the next."""
    load_tokenizer.cache_clear()
    yield
    load_tokenizer.cache_clear()


def test_the_vocabulary_has_gpt2s_50257_tokens():
    assert load_tokenizer("gpt2").n_vocab == 50257


def test_gpt2_is_the_default():
    assert load_tokenizer().name == "gpt2"


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Every effort moves you", [6109, 3626, 6100, 345]),
        ("I really like chocolate", [40, 1107, 588, 11311]),
        ("Hello, I am", [15496, 11, 314, 716]),
    ],
)
def test_english_words_have_gpt2s_ids(text, ids):
    assert load_tokenizer().encode_ordinary(text) == ids


def test_the_split_pattern_is_tiktokens_own():
    assert tiktoken_ext.openai_public.r50k_pat_str == tokenizer_module.SPLIT_PATTERN


@pytest.mark.parametrize(
    "text",
    [
        "The lamp went out.\n\nWho lit it?  Nobody's there, it's 1887.",
        "剑光一闪，茶碗仍在原处。第三十七页，缺了一角。",
        "a\r\n\tb 🗡️ \u3000 naïve",
        "",
    ],
    ids=["English", "Chinese", "mixed", "empty"],
)
def test_decoding_gives_back_the_text(text):
    tokenizer = load_tokenizer()
    assert tokenizer.decode(tokenizer.encode_ordinary(text)) == text


def test_a_chinese_character_becomes_its_utf8_bytes():
    tokenizer = load_tokenizer()
    ids = tokenizer.encode_ordinary("剑")
    assert tokenizer.decode_bytes(ids) == b"\xe5\x89\x91"


def test_end_of_text_in_a_text_is_encoded_as_plain_characters():
    ids = load_tokenizer().encode_ordinary("one<|endoftext|>two")
    assert 50256 not in ids


def test_end_of_text_in_a_text_survives_the_round_trip():
    tokenizer = load_tokenizer()
    text = "one<|endoftext|>two"
    assert tokenizer.decode(tokenizer.encode_ordinary(text)) == text


def test_50256_is_the_end_of_text():
    assert load_tokenizer().decode([50256]) == "<|endoftext|>"


@pytest.mark.usefixtures("no_cache")
def test_no_network_is_needed(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the tokenizer opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load_tokenizer().encode_ordinary("you") == [5832]


@pytest.mark.usefixtures("no_cache")
def test_a_changed_ranks_file_is_refused(monkeypatch, tmp_path):
    content = tokenizer_module.RANKS_PATH.read_bytes()
    changed = tmp_path / "gpt2.tiktoken"
    changed.write_bytes(content.replace(b"\n", b"\r\n"))  # what autocrlf would do
    monkeypatch.setattr(tokenizer_module, "RANKS_PATH", changed)
    with pytest.raises(ValueError, match=r"gpt2\.tiktoken has SHA-256 .*git checkout"):
        load_tokenizer()


@pytest.mark.usefixtures("no_cache")
def test_a_missing_ranks_file_is_named_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setattr(tokenizer_module, "RANKS_PATH", tmp_path / "gpt2.tiktoken")
    with pytest.raises(
        FileNotFoundError, match=r"gpt2\.tiktoken is missing; .*pip install"
    ):
        load_tokenizer()


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"'gpt5' is unknown; use 'gpt2'"):
        load_tokenizer("gpt5")


# Words


def word_tokenizer():
    return WordTokenizer(["The", "the", "goat", "sang", ".", ",", "the"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "goat",
        "The goat sang, the goat sang.",
        "The goat sang.<|endoftext|>The goat.<|endoftext|>",
        "<|endoftext|>The goat",
        ".,.",
    ],
)
def test_words_survive_encoding(text):
    tokenizer = word_tokenizer()
    assert tokenizer.decode(tokenizer.encode_ordinary(text)) == text


def test_capitals_make_another_word():
    tokenizer = word_tokenizer()
    assert len(set(tokenizer.encode_ordinary("The the"))) == 2


def test_the_end_of_text_is_word_0():
    assert word_tokenizer().encode_ordinary("<|endoftext|>") == [0]


def test_every_word_counts_once():
    assert word_tokenizer().n_vocab == 7


def test_words_make_a_dataset(tmp_path):
    (tmp_path / "a.txt").write_text("The goat sang.", encoding="utf-8")
    tokenizer = word_tokenizer()
    dataset = LLMDataset(tmp_path, tokenizer, tokenizer.end_id, 2, 2)
    assert tokenizer.decode(dataset.tokens.tolist()) == "The goat sang.<|endoftext|>"


def test_an_unknown_word_is_refused():
    with pytest.raises(ValueError, match="the word 'cow' is not among the 7 of"):
        word_tokenizer().encode_ordinary("The cow sang.")


@pytest.mark.parametrize("text", ["the  goat", " goat", "goat ", "goat .", "goat,the"])
def test_spaces_that_words_cannot_keep_are_refused(text):
    with pytest.raises(ValueError, match="words cannot keep the spacing of"):
        word_tokenizer().encode_ordinary(text)
