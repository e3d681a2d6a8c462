"""A language whose entropy is known: documents from a probabilistic grammar.

A grammar is scenes and word lists. A scene is a few lines, equally likely, each of
which says which scene comes next; a line without `->` ends the document. A line is
words and slots:

    {animal}        any word of the list `animal`
    {thief=animal}  any word of the list, remembered as `thief`
    {thief}         the remembered word once more
    {hero.She}      a form of the remembered word, here the pronoun of a name

The words of a list are equally likely, less those that a variable remembers.

Every document has exactly one derivation (`grammar_states` refuses other grammars), so
its probability is the product of its tokens' probabilities, and the entropy of a
document is the sum of its tokens' entropies, each given all before (the chain rule,
Shannon 1948). Nothing here is estimated from samples.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator

import torch

from llm_helpers.grammar_states import Edge, Memory, Parser, StateTable
from llm_helpers.tokenizer import END_OF_TEXT


class Grammar:
    """A probabilistic grammar: its tokenizer, its documents, its exact probabilities.

    Args:
        scenes: lines by scene; a document begins with the first scene.
        lists: words by list; no word is in two lists.
        forms: for each form, how it writes each word that it is asked of.

    Raises:
        ValueError: a name is unknown, a scene can follow itself, a variable is recalled
            before it is set, or two derivations could write the same document.
    """

    def __init__(
        self,
        scenes: dict[str, list[str]],
        lists: dict[str, list[str]],
        forms: dict[str, dict[str, str]] | None = None,
    ):
        parser = Parser(scenes, lists, forms or {})
        self.tokenizer = parser.tokenizer
        self._first = next(iter(scenes))
        self._scenes = {
            name: tuple(map(parser.line, lines)) for name, lines in scenes.items()
        }
        table = StateTable(self._scenes, self._first)
        self._states, self._start = table.edges, table.start
        self._entropies = [  # of the next token in each state, in nats
            sum(p * math.log(n / p) for _, p, n, _ in edges) for edges in self._states
        ]

    # What the grammar says of itself

    @property
    def entropy_per_document(self) -> float:
        """Nats in a document; its end-of-text token is certain and adds nothing."""
        return self._expected(self._entropies)

    @property
    def tokens_per_document(self) -> float:
        """Expected length of a document, its end-of-text token included."""
        return self._expected([1.0] * len(self._states))

    @property
    def entropy_per_token(self) -> float:
        """Nats per token of an endless stream, the end-of-text tokens included."""
        return self.entropy_per_document / self.tokens_per_document

    @property
    def longest_document(self) -> int:
        """Tokens of the longest document, its end-of-text token included."""
        longest = {None: 0}
        for state, edges in enumerate(self._states):
            longest[state] = 1 + max(longest[edge.target] for edge in edges)
        return longest[self._start]

    @property
    def collision_probability(self) -> float:
        """The probability that two independent documents are equal."""
        equal = {None: 1.0}
        for state, edges in enumerate(self._states):
            equal[state] = sum(p * p / n * equal[target] for _, p, n, target in edges)
        return equal[self._start]

    def expected_floor(self, context_len: int) -> float:
        """The least expected loss on windows of T targets that begin with a document.

        It is the mean entropy of the T tokens, each given all before. A window shows
        more of documents' beginnings than of their ends, so this differs a little from
        `entropy_per_token`, to which it tends as T grows.

        Returns:
            Nats per token.

        Raises:
            ValueError: `context_len` is below 1.
        """
        if context_len < 1:
            raise ValueError(f"context_len={context_len} must be at least 1")
        here, total = {self._start: 1.0}, 0.0  # probability of each state
        for _ in range(context_len):
            total += sum(p * self._entropies[state] for state, p in here.items())
            there = defaultdict(float)
            for state, p in here.items():
                for edge in self._states[state]:
                    target = self._start if edge.target is None else edge.target
                    there[target] += p * edge.probability
            here = there
        return total / context_len

    def _expected(self, amounts: list[float]) -> float:
        """Expected sum of an amount over the states that a document passes."""
        sums = {None: 0.0}
        for state, (amount, edges) in enumerate(zip(amounts, self._states)):
            sums[state] = amount + sum(e.probability * sums[e.target] for e in edges)
        return sums[self._start]

    # Documents and their probabilities

    def documents(self, seed: int) -> Iterator[list[int]]:
        """Documents without end: the token ids of each, its end of text the last."""
        rng = random.Random(seed)
        while True:
            yield self._document(rng)

    def next_token_probas(self, prefix: torch.Tensor | Iterable[int]) -> torch.Tensor:
        """The exact distribution of the token after a prefix: float64, (V,).

        Args:
            prefix: token ids, the first an end of text, as in a window's inputs.

        Raises:
            ValueError: no stream of documents begins like this.
        """
        *_, (state, memory, _) = self._read(prefix)
        probas = torch.zeros(self.tokenizer.n_vocab, dtype=torch.float64)
        for symbol, probability, num_options, _ in self._states[state]:
            probas[list(symbol.options(memory))] = probability / num_options
        return probas

    def token_nll(self, stream: torch.Tensor | Iterable[int]) -> torch.Tensor:
        """Exact negative log-probability of each token but the first, given all before.

        Args:
            stream: N token ids, the first an end of text; they may stop anywhere.

        Returns:
            Nats, float64, (N - 1,).

        Raises:
            ValueError: no stream of documents begins like this.
        """
        probas = [proba for _, _, proba in self._read(stream)]
        return -torch.tensor(probas[1:], dtype=torch.float64).log()

    def _document(self, rng: random.Random) -> list[int]:
        scene, memory, ids = self._first, {}, []
        while scene is not None:
            symbols, scene = _choose(rng, self._scenes[scene])
            for symbol in symbols:
                ids.append(_choose(rng, symbol.options(memory)))
                if symbol.variable:
                    memory[symbol.variable] = ids[-1]
        return ids

    def _read(self, stream) -> Iterator[tuple[int, Memory, float]]:
        """After each token: the state, what is remembered, the token's probability."""
        ids = stream.tolist() if isinstance(stream, torch.Tensor) else list(stream)
        if ids[:1] != [self.tokenizer.end_id]:
            raise ValueError(
                f"a stream that begins with {self.tokenizer.decode(ids[:1])!r} does "
                f"not show what came before; begin with {END_OF_TEXT!r}, "
                f"token {self.tokenizer.end_id}"
            )
        state, memory = self._start, {}
        yield state, memory, 1.0
        for position, token in enumerate(ids[1:], start=1):
            edge = self._edge(state, memory, token)
            if edge is None:
                before, after = ids[max(0, position - 5) : position], [token]
                raise ValueError(
                    f"{self.tokenizer.decode(after)!r} cannot follow "
                    f"{self.tokenizer.decode(before)!r} at token {position}; "
                    "give a stream that this grammar can write"
                )
            if edge.symbol.variable:
                memory[edge.symbol.variable] = token
            state = edge.target
            if state is None:
                state, memory = self._start, {}
            yield state, memory, edge.probability / edge.num_options

    def _edge(self, state: int, memory: Memory, token: int) -> Edge | None:
        for edge in self._states[state]:
            if token in edge.symbol.options(memory):
                return edge
        return None


def _choose(rng: random.Random, options):
    """One of the options, equally likely; a single one costs no random number."""
    if len(options) == 1:
        return options[0]
    return options[int(rng.random() * len(options))]
