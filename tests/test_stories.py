"""The stories of Tern Haven: their words, their ties, their windows and floors."""

import math
from functools import cache
from itertools import islice

import pytest
import torch
from derivations import derivations
from torch.utils.data import DataLoader

from llm_helpers import LLMDataset
from llm_helpers.stories import (
    FORMS,
    LISTS,
    SCENES,
    dataset_floor,
    story_windows,
    tern_haven,
)

END = 0
CONTEXT_LEN = 80
grammar = cache(tern_haven)


@cache
def stories(seed=0, number=1000):
    """Each story as a list of words, without its end of text."""
    words = grammar().tokenizer.words
    documents = islice(grammar().documents(seed), number)
    return [[words[token] for token in document[:-1]] for document in documents]


@cache
def windows(seed=0, num_windows=200):
    return story_windows(grammar(), num_windows, CONTEXT_LEN, seed)


def named(story, kind):
    """The words of a list that a story holds, in order."""
    return [word for word in story if word in LISTS[kind]]


# The language


def test_the_vocabulary_has_at_most_130_words():
    assert grammar().tokenizer.n_vocab <= 130


def test_a_story_fits_into_a_window():
    assert grammar().longest_document <= CONTEXT_LEN


def test_every_story_has_one_derivation():
    decode = grammar().tokenizer.decode
    for text in map(decode, islice(grammar().documents(3), 300)):
        assert len(list(derivations(SCENES, LISTS, FORMS, text))) == 1


def test_the_probability_of_a_story_is_that_of_its_derivation():
    for document in islice(grammar().documents(4), 100):
        text = grammar().tokenizer.decode(document)
        ((p, _),) = derivations(SCENES, LISTS, FORMS, text)
        nll = grammar().token_nll([END, *document]).sum().item()
        assert nll == pytest.approx(-math.log(p))


def test_stories_survive_the_tokenizer():
    tokenizer = grammar().tokenizer
    for document in islice(grammar().documents(1), 300):
        text = tokenizer.decode(document)
        assert tokenizer.encode_ordinary(text) == document


def test_a_seed_tells_the_same_stories_for_ever():
    text = grammar().tokenizer.decode(next(grammar().documents(0)))
    assert text == (
        "Jonas the hungry fisher rode to the lighthouse one quiet noon and lost a "
        "green kettle. He sat near the famous stairs, ate a lonely cheese and thought "
        "of the green kettle. But Olaf the quiet weaver met a famous gull under the "
        "merry bridge, and the gull had the kettle. Jonas gave the gull a hungry pear "
        "and walked back to the lighthouse with the green kettle.<|endoftext|>"
    )


# What ties a story together


def test_the_hero_of_the_beginning_is_the_hero_of_the_end():
    for story in stories():
        last_sentence = story[-story[-2::-1].index(".") - 1 :]
        assert named(story, "person")[0] in last_sentence


def test_one_thing_is_lost_sought_and_found():
    assert {len(set(named(story, "thing"))) for story in stories()} == {1}


def test_the_thing_keeps_its_colour():
    assert {len(set(named(story, "colour"))) for story in stories()} == {1}


def test_the_place_of_the_loss_is_the_place_of_the_return():
    assert {len(set(named(story, "place"))) for story in stories()} == {1}
    assert {len(named(story, "place")) for story in stories()} == {2, 3}


def test_the_witness_is_not_the_hero():
    assert {len(set(named(story, "person"))) for story in stories()} == {2}


def test_the_animal_that_has_the_thing_gives_it_back():
    assert {len(set(named(story, "animal"))) for story in stories()} == {1}
    assert {len(named(story, "animal")) for story in stories()} == {2, 3}


def test_the_pronoun_is_the_heros():
    for story in stories():
        (pronoun,) = [word for word in story if word in ("She", "He")]
        assert pronoun == FORMS["She"][named(story, "person")[0]]


# Its figures


def test_the_entropy_is_the_mean_nll_of_100_000_stories():
    number = 100_000
    documents = islice(grammar().documents(1), number)
    nll = torch.tensor([grammar().token_nll([END, *d]).sum() for d in documents])
    standard_error = nll.std().item() / math.sqrt(number)
    expected = grammar().entropy_per_document
    assert nll.mean().item() == pytest.approx(expected, abs=3 * standard_error)


def test_the_mean_length_is_the_expected_one():
    lengths = torch.tensor([len(story) + 1.0 for story in stories()])
    standard_error = lengths.std().item() / math.sqrt(len(lengths))
    expected = grammar().tokens_per_document
    assert lengths.mean().item() == pytest.approx(expected, abs=3 * standard_error)


def test_next_token_probas_add_up_to_1():
    for document in islice(grammar().documents(2), 20):
        for position in range(len(document)):
            probas = grammar().next_token_probas([END, *document[:position]])
            assert probas.sum().item() == pytest.approx(1.0)


def test_the_nll_is_that_of_the_next_token_probas():
    stream = [END, *next(grammar().documents(2))]
    nll = grammar().token_nll(stream)
    for position, token in enumerate(stream[1:]):
        probas = grammar().next_token_probas(stream[: position + 1])
        assert nll[position].item() == pytest.approx(-probas[token].log().item())


def test_equal_stories_are_not_to_be_expected():
    """Among all pairs of 20,000 stories to train on and 1,000 to validate."""
    pairs = 20_000 * 1_000
    assert pairs * grammar().collision_probability < 1e-12


# Windows


def test_every_window_begins_with_a_story():
    assert {inputs[0].item() for inputs, _ in windows()} == {END}


def test_a_window_is_context_len_inputs_and_targets_of_int64():
    inputs, targets = windows()[0]
    assert inputs.shape == targets.shape == (CONTEXT_LEN,)
    assert inputs.dtype == targets.dtype == torch.int64


def test_there_are_as_many_windows_as_asked_for():
    assert len(windows()) == 200


def test_every_window_holds_fresh_stories():
    documents = grammar().documents(0)
    for inputs, targets in windows():
        window, expected = [END, *targets.tolist()], [END]
        while len(expected) <= CONTEXT_LEN:
            expected += next(documents)
        assert window == expected[: CONTEXT_LEN + 1]
        assert inputs.tolist() == window[:-1]


def test_windows_come_from_a_loader():
    inputs, _ = next(iter(DataLoader(windows(), batch_size=16, shuffle=True)))
    assert inputs.shape == (16, CONTEXT_LEN)


def test_another_seed_shares_no_story():
    held = [{tuple(inputs.tolist()) for inputs, _ in windows(seed)} for seed in (0, 1)]
    assert not held[0] & held[1]


# Floors


def test_the_floor_of_a_dataset_is_the_mean_nll_of_its_targets():
    streams = [[END, *targets.tolist()] for _, targets in windows()]
    nll = torch.cat([grammar().token_nll(stream) for stream in streams])
    assert dataset_floor(windows(), grammar()) == pytest.approx(nll.mean().item())


def test_the_floors_of_datasets_scatter_around_the_expected_floor():
    floors = [dataset_floor(windows(seed), grammar()) for seed in range(10)]
    floors = torch.tensor(floors)
    standard_error = floors.std().item() / math.sqrt(len(floors))
    expected = grammar().expected_floor(CONTEXT_LEN)
    assert floors.mean().item() == pytest.approx(expected, abs=3 * standard_error)


def test_a_dataset_whose_windows_begin_within_a_story_has_no_floor():
    dataset = LLMDataset.from_tokens(windows().tokens, CONTEXT_LEN, CONTEXT_LEN)
    with pytest.raises(ValueError, match="does not show what came before"):
        dataset_floor(dataset, grammar())


@pytest.mark.parametrize("name", ["num_windows", "context_len"])
def test_windows_without_number_or_length_are_refused(name):
    sizes = dict(num_windows=4, context_len=8) | {name: 0}
    with pytest.raises(ValueError, match=f"{name}=0 must be at least 1"):
        story_windows(grammar(), seed=0, **sizes)
