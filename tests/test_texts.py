"""The course's own texts keep to what the lessons and data/README.md say of them."""

import re

import pytest

from llm_helpers import DATA_DIR, LLMDataset, load_tokenizer

FOLDERS = ("en/train", "en/val", "zh/train", "zh/val")


def texts(folder):
    return [
        p.read_text(encoding="utf-8") for p in sorted((DATA_DIR / folder).iterdir())
    ]


def num_tokens(folder):
    tokenizer = load_tokenizer()
    return sum(len(tokenizer.encode_ordinary(text)) + 1 for text in texts(folder))


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_table_in_data_readme_is_true(folder):
    readme = (DATA_DIR / "README.md").read_text(encoding="utf-8")
    row = re.search(rf"\| `{folder}` \| [^|]+\| (.+) \| CC0 1.0 \|", readme)[1]
    characters = sum(map(len, texts(folder)))
    counts = f"{len(texts(folder))} | {characters:,} | {num_tokens(folder):,}"
    assert row == counts


def test_there_is_enough_english_to_train_and_to_validate():
    assert num_tokens("en/train") >= 20_000
    assert num_tokens("en/val") >= 3_000


def test_the_chinese_chapters_give_seven_training_batches():
    dataset = LLMDataset(DATA_DIR / "zh" / "train", "gpt2", 50256, 1024, 1024)
    assert len(dataset) // 2 == 7


def test_the_chinese_validation_has_two_windows():
    assert len(LLMDataset(DATA_DIR / "zh" / "val", "gpt2", 50256, 1024, 1024)) >= 2


def test_the_validation_stories_are_not_copied_from_the_training_stories():
    def runs_of_words(folder, length=16):
        words = [word for text in texts(folder) for word in text.split()]
        return {tuple(words[i : i + length]) for i in range(len(words) - length)}

    assert not runs_of_words("en/val") & runs_of_words("en/train")


@pytest.mark.parametrize("folder", FOLDERS)
def test_texts_are_plain_paragraphs(folder):
    for text in texts(folder):
        assert "\r" not in text
        assert text.endswith("\n")
        assert "\n\n\n" not in text
