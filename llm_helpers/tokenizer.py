"""GPT-2's byte-pair tokenizer, built from the ranks in `data/`; and one of words."""

import base64
import functools
import hashlib
import re
from collections.abc import Iterable

import tiktoken

from llm_helpers.paths import DATA_DIR

RANKS_PATH = DATA_DIR / "tokenizer" / "gpt2.tiktoken"
RANKS_SHA256 = "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930"

# How GPT-2 cuts a text into words before byte-pair encoding (Radford et al. 2019).
SPLIT_PATTERN = (
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++"
    r"|\s++$|\s+(?!\S)|\s"
)
END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 50256

WORD_PATTERN = re.compile(rf"{re.escape(END_OF_TEXT)}|\w+|[^\w\s]")


@functools.cache
def load_tokenizer(name: str = "gpt2") -> tiktoken.Encoding:
    """Build a tokenizer from files in the repository.

    Args:
        name: "gpt2", the only vocabulary that the course ships (50,257 tokens).

    Returns:
        A `tiktoken.Encoding`, equal to `tiktoken.get_encoding("gpt2")`.

    Raises:
        ValueError: the name is unknown, or the ranks file differs from GPT-2's.
        FileNotFoundError: the repository's `data` folder is not there.
    """
    if name != "gpt2":
        raise ValueError(f"the tokenizer {name!r} is unknown; use 'gpt2'")
    return tiktoken.Encoding(
        name="gpt2",
        pat_str=SPLIT_PATTERN,
        mergeable_ranks=_read_ranks(),
        special_tokens={END_OF_TEXT: END_OF_TEXT_ID},
        explicit_n_vocab=END_OF_TEXT_ID + 1,
    )


def _read_ranks() -> dict[bytes, int]:
    if not RANKS_PATH.is_file():
        raise FileNotFoundError(
            f"{RANKS_PATH} is missing; install the package from a clone of the course "
            "with `pip install -e .`, so that its data folder stays beside it"
        )
    content = RANKS_PATH.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != RANKS_SHA256:
        raise ValueError(
            f"{RANKS_PATH} has SHA-256 {digest[:12]}... instead of "
            f"{RANKS_SHA256[:12]}...; restore it with `git checkout -- data/tokenizer`"
        )
    pairs = (line.split() for line in content.splitlines())
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


class WordTokenizer:
    """Whole words and punctuation marks of a closed vocabulary; capitals count.

    The end of text is a word like any other, so that a stream of documents is a text
    too: `decode(encode_ordinary(text)) == text` for every text that is not refused.

    Args:
        words: words and punctuation marks; one given twice counts once.
    """

    end_id = 0

    def __init__(self, words: Iterable[str]):
        self.words = [END_OF_TEXT, *sorted(set(words) - {END_OF_TEXT})]
        self.n_vocab = len(self.words)
        self._ids = {word: token for token, word in enumerate(self.words)}

    def encode_ordinary(self, text: str) -> list[int]:
        """Token ids of a text.

        Raises:
            ValueError: a word is unknown, or the spaces are not one before each word.
        """
        words = WORD_PATTERN.findall(text)
        for word in words:
            if word not in self._ids:
                raise ValueError(
                    f"the word {word!r} is not among the {self.n_vocab} of this "
                    "vocabulary; keep to the tokenizer's `words`"
                )
        ids = [self._ids[word] for word in words]
        if self.decode(ids) != text:
            raise ValueError(
                f"words cannot keep the spacing of {text[:40]!r}; put one space before "
                "each word but a document's first, and none elsewhere"
            )
        return ids

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of token ids: a space before each word but a document's first."""
        pieces, previous = [], END_OF_TEXT
        for token in tokens:
            word = self.words[token]
            if previous != END_OF_TEXT and word[0].isalnum():
                pieces.append(" ")
            pieces.append(word)
            previous = word
        return "".join(pieces)
