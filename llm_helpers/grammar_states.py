"""From the lines of a grammar to states in which every token has one meaning.

A line is symbols: words, draws from a list, recalls of what was drawn. A state is what
may still follow in the lines that fit so far, together with the variables that are set.
The words that they remember stay outside the state, so a few hundred states serve a
language of any size. Where two ways on could write the same token, the grammar is
refused; so every document has exactly one derivation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

from llm_helpers.tokenizer import END_OF_TEXT, WORD_PATTERN, WordTokenizer

_PIECES = re.compile(rf"\{{[^{{}}]*\}}|{WORD_PATTERN.pattern}")
Memory = dict[str, int]  # the token that each variable remembers


@dataclass(frozen=True)
class Word:
    """One certain token."""

    piece: str  # as the line has it
    token: int
    variable = None

    def options(self, memory: Memory) -> tuple[int, ...]:
        return (self.token,)


@dataclass(frozen=True)
class Draw:
    """Any token of a list that no variable remembers; then remembered, or not."""

    piece: str
    tokens: tuple[int, ...]
    variable: str | None

    def options(self, memory: Memory) -> list[int]:
        taken = memory.values()
        return [token for token in self.tokens if token not in taken]


@dataclass(frozen=True)
class Recall:
    """What a variable remembers, as it is or in a form."""

    piece: str
    source: str
    form: str  # empty: as it is
    forms: dict[int, int] = field(compare=False)  # remembered token: token written
    variable = None

    def options(self, memory: Memory) -> tuple[int, ...]:
        return (self.forms[memory[self.source]],)


Symbol = Word | Draw | Recall
Line = tuple[tuple[Symbol, ...], str | None]  # symbols, and the scene that follows


class Edge(NamedTuple):
    """One way on from a state."""

    symbol: Symbol
    probability: float  # share of the lines that go on with this symbol
    num_options: int  # tokens that the symbol may be, equally likely
    target: int | None  # the state after it; None where the document is over


class Parser:
    """Reads lines such as "{hero=person} sang at the {place}. -> home".

    Raises:
        ValueError: a word is in two lists, or a line names what is not there.
    """

    def __init__(self, scenes, lists, forms):
        _check_lists(lists)
        self.tokenizer = WordTokenizer(_words(scenes, lists, forms))
        self._scene_names = set(scenes)
        self._lists = {name: self._ids(words) for name, words in lists.items()}
        self._forms = {
            name: dict(zip(self._ids(table), self._ids(table.values())))
            for name, table in forms.items()
        }
        plain = {token: token for tokens in self._lists.values() for token in tokens}
        self._forms[""] = plain

    def line(self, text: str) -> Line:
        words, _, scene = (part.strip() for part in text.partition("->"))
        if scene and scene not in self._scene_names:
            raise ValueError(
                f"the line {text!r} goes on with an unknown scene; the scenes are "
                f"{', '.join(sorted(self._scene_names))}"
            )
        symbols = [self._symbol(piece) for piece in _PIECES.findall(words)]
        if not symbols:
            raise ValueError(f"the line {text!r} has no words; write some or drop it")
        if not scene:
            symbols.append(self._symbol(END_OF_TEXT))
        return tuple(symbols), scene or None

    def _symbol(self, piece: str) -> Symbol:
        if not piece.startswith("{"):
            return Word(piece, *self._ids([piece]))
        variable, _, name = piece[1:-1].rpartition("=")
        if name in self._lists:
            return Draw(piece, self._lists[name], variable or None)
        source, _, form = name.partition(".")
        if variable or form not in self._forms:
            known = ", ".join([*self._lists, *filter(None, self._forms)])
            raise ValueError(
                f"the slot {piece} names an unknown list or form; known are {known}"
            )
        return Recall(piece, source, form, self._forms[form])

    def _ids(self, words) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode_ordinary(word)[0] for word in words)


class StateTable:
    """The states of scenes; a state's number is above those of its targets.

    Raises:
        ValueError: a scene can follow itself, a variable is set twice or recalled
            before it is set, or two ways on could write the same token.
    """

    def __init__(self, scenes: dict[str, tuple[Line, ...]], first_scene: str):
        self.edges: list[list[Edge]] = []  # of each state
        self._scenes = scenes
        self._numbers: dict = {}
        self.start = self._state(scenes[first_scene], frozenset())

    def _state(self, lines: tuple[Line, ...], draws: frozenset[Draw]) -> int | None:
        """The state where one of `lines` follows and `draws` have set variables."""
        if len(lines) == 1 and not lines[0][0]:
            scene = lines[0][1]
            return None if scene is None else self._state(self._scenes[scene], draws)
        key = lines, draws
        if key not in self._numbers:
            self._numbers[key] = None  # until it is known
            edges = self._edges(lines, draws)
            self._numbers[key] = len(self.edges)
            self.edges.append(edges)
        if self._numbers[key] is None:
            raise ValueError("a scene can follow itself; let every `->` lead onwards")
        return self._numbers[key]

    def _edges(self, lines, draws) -> list[Edge]:
        rests: dict[Symbol, list[Line]] = {}
        for symbols, scene in lines:
            if not symbols:
                raise ValueError(
                    "one line is the beginning of another, or equal to it, so that a "
                    "document could be read in two ways; change the shorter one"
                )
            rests.setdefault(symbols[0], []).append((symbols[1:], scene))
        _check_apart(rests, draws)
        return [
            Edge(
                symbol,
                len(rest) / len(lines),
                _num_options(symbol, draws),
                self._state(tuple(rest), _with(symbol, draws)),
            )
            for symbol, rest in rests.items()
        ]


def _num_options(symbol: Symbol, draws: frozenset[Draw]) -> int:
    if not isinstance(symbol, Draw):
        return 1
    number = len(symbol.tokens) - sum(draw.tokens == symbol.tokens for draw in draws)
    if number < 1:
        raise ValueError(
            f"variables remember all {len(symbol.tokens)} words of a list, so that "
            "none is left to draw; make the list longer"
        )
    return number


def _with(symbol: Symbol, draws: frozenset[Draw]) -> frozenset[Draw]:
    if symbol.variable is None:
        return draws
    if any(draw.variable == symbol.variable for draw in draws):
        raise ValueError(
            f"the variable {symbol.variable!r} is set twice; give the second a new name"
        )
    return draws | {symbol}


def _check_apart(symbols, draws: frozenset[Draw]) -> None:
    """Refuse symbols of one state that could write the same token."""
    possible = {symbol: _possible(symbol, draws) for symbol in symbols}
    for one, other in combinations(symbols, 2):
        plain = [isinstance(s, Recall) and not s.form for s in (one, other)]
        drawn = [isinstance(s, Draw) for s in (one, other)]
        if any(plain) and all(p or d for p, d in zip(plain, drawn)):
            continue  # no two variables, and no draw, repeat a remembered word
        if possible[one] & possible[other]:
            raise ValueError(
                f"{one.piece!r} and {other.piece!r} can stand at one place and be the "
                "same word, so that a document could be read in two ways; "
                "make the lines differ"
            )


def _possible(symbol: Symbol, draws: frozenset[Draw]) -> set[int]:
    """Every token that a symbol can be."""
    if isinstance(symbol, Word):
        return {symbol.token}
    if isinstance(symbol, Draw):
        return set(symbol.tokens)
    tokens = [d.tokens for d in draws if d.variable == symbol.source]
    if not tokens:
        raise ValueError(
            f"the variable {symbol.source!r} is recalled where it need not be set; "
            "set it in every line that leads there"
        )
    if not set(tokens[0]) <= symbol.forms.keys():
        raise ValueError(
            f"the form {symbol.form!r} of {symbol.source!r} lacks a word of its list; "
            "give the form of every word"
        )
    return {symbol.forms[token] for token in tokens[0]}


def _words(scenes, lists, forms) -> set[str]:
    """Every word that the grammar can write."""
    lines = [line.partition("->")[0] for lines in scenes.values() for line in lines]
    pieces = {piece for line in lines for piece in _PIECES.findall(line)}
    words = {piece for piece in pieces if not piece.startswith("{")}
    words.update(*lists.values())
    return words.union(*(table.values() for table in forms.values()))


def _check_lists(lists) -> None:
    seen: dict[str, str] = {}
    for name, words in lists.items():
        for word in words:
            if word in seen:
                raise ValueError(
                    f"the word {word!r} is in the lists {seen[word]!r} and {name!r}; "
                    "a word may stand in one list, once"
                )
            seen[word] = name
