"""A grammar's exact figures, against all its documents and against samples."""

import math
import re
from collections import defaultdict
from functools import cache
from itertools import islice

import pytest
import torch
from derivations import derivations

from llm_helpers.grammar import Grammar

END = 0
LISTS = {"pet": ["cat", "dog", "hen"], "food": ["egg", "pie"]}
FORMS = {"She": {"cat": "She", "dog": "He", "hen": "She"}}
SCENES = {
    "meal": [
        "The {one=pet} ate. -> sleep",
        "The {one=pet} and a {pet} ate the {food}. -> sleep",
        "A {one=pet} met a {other=pet}. -> walk",
    ],
    "sleep": ["{one.She} slept.", "The {one} slept by a {pet}."],
    "walk": ["The {other} ran. -> sleep", "{other.She} and the {one} sat."],
}


@cache
def all_derivations():
    return list(derivations(SCENES, LISTS, FORMS))


@cache
def grammar():
    return Grammar(SCENES, LISTS, FORMS)


@cache
def all_documents():
    """The probability of every document, as a tuple of token ids."""
    encode = grammar().tokenizer.encode_ordinary
    return {tuple(encode(text)): p for p, text in all_derivations()}


def documents(seed, number):
    return list(islice(grammar().documents(seed), number))


def block_probas(num_tokens):
    """The probability of everything that the first tokens of a stream can be."""
    blocks, open_blocks = defaultdict(float), {(): 1.0}
    while open_blocks:
        longer = defaultdict(float)
        for block, p in open_blocks.items():
            for document, q in all_documents().items():
                stream = block + document
                done = len(stream) >= num_tokens
                (blocks if done else longer)[stream[:num_tokens]] += p * q
        open_blocks = longer
    return blocks


# All documents of a small grammar


def test_the_small_grammar_writes_what_it_should():
    texts = [text for _, text in all_derivations()]
    assert "A cat met a dog. The dog ran. She slept.<|endoftext|>" in texts


def test_every_document_has_one_derivation():
    assert len(all_documents()) == len(all_derivations()) == 63


def test_the_probabilities_of_all_documents_add_up_to_1():
    assert sum(all_documents().values()) == pytest.approx(1.0)


def test_the_entropy_of_a_document_is_that_of_all_documents():
    expected = -sum(p * math.log(p) for p in all_documents().values())
    assert grammar().entropy_per_document == pytest.approx(expected)


def test_the_length_of_a_document_is_that_of_all_documents():
    expected = sum(p * len(document) for document, p in all_documents().items())
    assert grammar().tokens_per_document == pytest.approx(expected)


def test_the_entropy_of_a_token_is_per_document_over_tokens_per_document():
    expected = grammar().entropy_per_document / grammar().tokens_per_document
    assert grammar().entropy_per_token == expected


def test_the_longest_document_is_that_of_all_documents():
    assert grammar().longest_document == max(map(len, all_documents()))


def test_two_documents_coincide_as_often_as_the_sum_of_squares():
    expected = sum(p * p for p in all_documents().values())
    assert grammar().collision_probability == pytest.approx(expected)


def test_the_nll_of_a_document_is_that_of_its_derivation():
    nll = {d: grammar().token_nll([END, *d]).sum().item() for d in all_documents()}
    expected = {d: -math.log(p) for d, p in all_documents().items()}
    assert nll == pytest.approx(expected)


def test_next_token_probas_are_those_of_all_documents():
    prefixes = defaultdict(lambda: torch.zeros(grammar().tokenizer.n_vocab).double())
    for document, p in all_documents().items():
        for position, token in enumerate(document):
            prefixes[document[:position]][token] += p
    for prefix, weights in prefixes.items():
        probas = grammar().next_token_probas([END, *prefix])
        torch.testing.assert_close(probas, weights / weights.sum())


@pytest.mark.parametrize("context_len", [1, 4, 9, 17])
def test_the_expected_floor_is_the_entropy_of_a_stretch_per_token(context_len):
    probas = block_probas(context_len).values()
    expected = -sum(p * math.log(p) for p in probas) / context_len
    assert grammar().expected_floor(context_len) == pytest.approx(expected)


def test_the_expected_floor_tends_to_the_entropy_per_token():
    floor = grammar().expected_floor(5000)
    assert floor == pytest.approx(grammar().entropy_per_token, abs=1e-3)


def test_a_floor_of_no_tokens_is_refused():
    with pytest.raises(ValueError, match="context_len=0 must be at least 1"):
        grammar().expected_floor(0)


# Samples


def test_documents_are_repeatable():
    assert documents(seed=3, number=50) == documents(seed=3, number=50)


def test_another_seed_gives_other_documents():
    assert documents(seed=3, number=50) != documents(seed=4, number=50)


def test_a_document_ends_with_its_only_end_of_text():
    assert {d.index(END) - len(d) for d in documents(0, 200)} == {-1}


def test_documents_come_as_often_as_their_probability_says():
    counts, number = defaultdict(int), 20_000
    for document in documents(0, number):
        counts[tuple(document)] += 1
    for document, p in all_documents().items():
        standard_error = math.sqrt(p * (1 - p) / number)
        assert counts[document] / number == pytest.approx(p, abs=5 * standard_error)


def test_the_entropy_is_the_mean_nll_of_100_000_documents():
    number = 100_000
    stream = [END, *(token for d in documents(1, number) for token in d)]
    totals = grammar().token_nll(stream).cumsum(0)
    ends = torch.tensor(stream[1:]) == END
    nll = totals[ends].diff(prepend=torch.zeros(1))
    standard_error = nll.std().item() / math.sqrt(number)
    expected = grammar().entropy_per_document
    assert nll.mean().item() == pytest.approx(expected, abs=3 * standard_error)


# Streams


def test_the_nll_of_a_stream_is_that_of_each_document():
    one, other = documents(0, 2)
    stream = grammar().token_nll(torch.tensor([END, *one, *other]))
    alone = [grammar().token_nll([END, *document]) for document in (one, other)]
    assert torch.equal(stream, torch.cat(alone))


def test_a_stream_may_stop_anywhere():
    stream = [END, *documents(0, 1)[0]]
    whole = grammar().token_nll(stream)
    parts = [grammar().token_nll(stream[: n + 1]) for n in range(len(stream))]
    assert all(torch.equal(part, whole[:n]) for n, part in enumerate(parts))


def test_an_end_of_text_is_certain_where_it_stands():
    document = documents(0, 1)[0]
    assert grammar().next_token_probas([END, *document[:-1]])[END] == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("The cat cat", "'cat' cannot follow '<|endoftext|>The cat' at token 3; give"),
        (
            "The cat ate. He",
            "'He' cannot follow '<|endoftext|>The cat ate.' at token 5",
        ),
        (
            "The cat and a cat",
            "'cat' cannot follow '<|endoftext|>The cat and a' at token 5",
        ),
    ],
)
@pytest.mark.parametrize("ask", [Grammar.token_nll, Grammar.next_token_probas])
def test_an_impossible_prefix_is_refused(ask, text, message):
    ids = [END, *grammar().tokenizer.encode_ordinary(text)]
    with pytest.raises(ValueError, match=re.escape(message)):
        ask(grammar(), ids)


@pytest.mark.parametrize("text", ["", "cat", "The cat"])
@pytest.mark.parametrize("ask", [Grammar.token_nll, Grammar.next_token_probas])
def test_a_stream_without_its_beginning_is_refused(ask, text):
    with pytest.raises(ValueError, match=r"begin with '<\|endoftext\|>', token 0"):
        ask(grammar(), grammar().tokenizer.encode_ordinary(text))


# Grammars that are refused


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["A cat.", "A cat."], "could be read in two ways"),
        (["A cat. -> b", "A cat. -> c"], "could be read in two ways"),
        (["A cat. -> b", "A cat. B."], "could be read in two ways"),
        (["A {pet} ate.", "A cat slept."], r"'\{pet\}' and 'cat' can stand at one"),
        (["A {x=pet} ate.", "A {y=pet} slept."], "could be read in two ways"),
        (["{x=pet} {y=pet} {x.She} a.", "{x=pet} {y=pet} {y.She} b."], "in two ways"),
        (["A {x} ate."], "'x' is recalled where it need not be set"),
        (["A {x=pet}. -> c", "No {y=pet}. -> c"], "'x' is recalled where"),
        (["{x=pet} {x=pet}."], "'x' is set twice; give the second a new name"),
        (["{x=food} {y=food} {food}."], "none is left to draw; make the list longer"),
        (["-> b"], "the line '-> b' has no words; write some or drop it"),
        (["A cat. -> a"], "a scene can follow itself; let every `->` lead onwards"),
        (["A cat. -> d"], "an unknown scene; the scenes are a, b, c"),
        (["A {x=fish}."], r"\{x=fish\} names an unknown list or form; known are"),
        (["A {x.It}."], r"\{x.It\} names an unknown .*; known are pet, food, She"),
        (["{x=food} {x.She}."], "the form 'She' of 'x' lacks a word of its list"),
    ],
)
def test_a_grammar_that_cannot_work_is_refused(lines, message):
    scenes = {"a": lines, "b": ["B."], "c": ["The {x} ran."]}
    if "-> c" not in "".join(lines):
        scenes["c"] = ["C."]
    with pytest.raises(ValueError, match=message):
        Grammar(scenes, LISTS, FORMS)


def test_a_word_in_two_lists_is_refused():
    lists = {"pet": ["cat"], "wild": ["fox", "cat"]}
    with pytest.raises(ValueError, match="'cat' is in the lists 'pet' and 'wild'"):
        Grammar({"a": ["{pet} {wild}."]}, lists)


def test_two_variables_of_one_list_may_be_recalled_at_one_place():
    lines = ["{x=pet} {y=pet} {x} a.", "{x=pet} {y=pet} {y} b."]
    both = Grammar({"a": lines}, LISTS)
    prefix = [END, *both.tokenizer.encode_ordinary("cat dog")]
    assert both.next_token_probas(prefix).count_nonzero() == 2
