"""How much of a text stands token for token in a corpus: exact, no hashing.

The index is a suffix array (Manber & Myers 1993): all positions of the corpus, in the
order of what follows them. So whatever agrees most with a given run stands next to the
place where the run would be sorted in.

N = tokens of the corpus, M = tokens of the text that is looked up.
"""

from bisect import bisect_left
from collections.abc import Iterable

import torch


class CorpusIndex:
    """A corpus in which runs of tokens are looked up.

    An end of text is a token like any other: a run may go on past it.

    Args:
        corpus: N token ids, for example the `tokens` of a training set.

    Raises:
        ValueError: the corpus holds no token.
    """

    def __init__(self, corpus: torch.Tensor | Iterable[int]):
        ids = torch.as_tensor(_as_list(corpus), dtype=torch.int64)
        if len(ids) == 0:
            raise ValueError("the corpus holds no token; give at least one")
        self._order = suffix_array(ids).tolist()
        self._corpus = _as_string(ids.tolist())

    def match_lengths(self, ids: torch.Tensor | Iterable[int]) -> list[int]:
        """For each of M positions, the tokens from there on that the corpus holds."""
        text = _as_string(_as_list(ids))
        return [self._match_length(text, start) for start in range(len(text))]

    def longest_match(self, ids: torch.Tensor | Iterable[int]) -> int:
        """Tokens of the longest run of `ids` that the corpus holds."""
        return max(self.match_lengths(ids), default=0)

    def ngram_overlap(self, ids: torch.Tensor | Iterable[int], n: int) -> float:
        """The share, 0 to 1, of the runs of n tokens in `ids` that the corpus holds.

        Raises:
            ValueError: there is no run of n tokens.
        """
        lengths = self.match_lengths(ids)
        if not 1 <= n <= len(lengths):
            raise ValueError(
                f"n={n} must be at least 1 and at most {len(lengths)}, the tokens given"
            )
        runs = lengths[: len(lengths) - n + 1]
        return sum(length >= n for length in runs) / len(runs)

    def _match_length(self, text: str, start: int) -> int:
        """How much of `text` from `start` on the corpus holds in one piece."""
        length = 64  # compares short pieces first, so that a long text costs no more
        while (match := self._held_length(text[start : start + length])) == length:
            length *= 4
        return match

    def _held_length(self, run: str) -> int:
        """How much of the beginning of `run` the corpus holds in one piece."""

        def following(position):
            return self._corpus[position : position + len(run)]

        place = bisect_left(self._order, run, key=following)
        neighbours = self._order[max(0, place - 1) : place + 1]
        return max(_common_length(run, following(start)) for start in neighbours)


def suffix_array(ids: torch.Tensor) -> torch.Tensor:
    """The positions of N ids in the order of what follows them: int64, (N,).

    Positions are ranked by the first id that follows, then by the first 2, 4, 8, ...:
    the rank by 2n ids is that of the pair (rank by n ids, rank by n ids n further on).
    """
    n = len(ids)
    rank, length = ids.unique(return_inverse=True)[1], 1
    while rank.max() < n - 1:  # some positions are not told apart yet
        further = torch.full_like(rank, -1)  # the end comes before every id
        further[:-length] = rank[length:]
        rank = (rank * (n + 1) + further + 1).unique(return_inverse=True)[1]
        length *= 2
    return rank.argsort()


def _common_length(one: str, other: str) -> int:
    """How many characters two strings have in common at their beginning."""
    pairs = enumerate(zip(one, other))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _as_list(ids: torch.Tensor | Iterable[int]) -> list[int]:
    return ids.tolist() if isinstance(ids, torch.Tensor) else list(ids)


def _as_string(ids: list[int]) -> str:
    """One character for each token: Python compares and cuts strings fast."""
    return "".join(map(chr, ids))
