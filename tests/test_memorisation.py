"""Runs of tokens that a corpus holds, against a search by brute force."""

import random

import pytest
import torch

from llm_helpers.memorisation import CorpusIndex, suffix_array


def random_ids(rng, length, vocabulary_size=3):
    return [rng.randrange(vocabulary_size) for _ in range(length)]


def holds(corpus, run):
    """Whether the list `corpus` holds the list `run` in one piece."""
    starts = range(len(corpus) - len(run) + 1)
    return any(corpus[start : start + len(run)] == run for start in starts)


def match_length(corpus, ids):
    lengths = range(len(ids) + 1)
    return max(length for length in lengths if holds(corpus, ids[:length]))


# The suffix array


@pytest.mark.parametrize("seed", range(20))
def test_a_suffix_array_orders_positions_by_what_follows(seed):
    rng = random.Random(seed)
    ids = random_ids(rng, rng.randrange(1, 60))
    expected = sorted(range(len(ids)), key=lambda start: ids[start:])
    assert suffix_array(torch.tensor(ids)).tolist() == expected


def test_a_suffix_array_tells_long_repeats_apart():
    assert suffix_array(torch.zeros(100, dtype=torch.int64)).tolist() == [
        *range(99, -1, -1)
    ]


# Longest runs


@pytest.mark.parametrize("seed", range(40))
def test_match_lengths_are_those_of_brute_force(seed):
    rng = random.Random(seed)
    corpus, ids = random_ids(rng, rng.randrange(1, 50)), random_ids(rng, 30)
    expected = [match_length(corpus, ids[start:]) for start in range(len(ids))]
    assert CorpusIndex(corpus).match_lengths(ids) == expected


@pytest.mark.parametrize("length", [1, 7, 63, 64, 65, 300])
def test_a_planted_passage_gives_exactly_its_length(length):
    rng = random.Random(length)
    corpus = random_ids(rng, 1000, vocabulary_size=50)
    strangers = [50] * 20  # a token that the corpus lacks
    ids = strangers + corpus[300 : 300 + length] + strangers
    assert CorpusIndex(corpus).longest_match(ids) == length


def test_a_passage_at_the_corpus_end_is_found():
    assert CorpusIndex([5, 6, 7, 8]).longest_match([1, 7, 8, 9]) == 2


def test_the_corpus_itself_is_one_run():
    corpus = random_ids(random.Random(0), 500)
    assert CorpusIndex(corpus).longest_match(corpus) == 500


def test_shuffled_text_has_short_runs_only():
    rng = random.Random(0)
    corpus = list(range(1000))
    assert CorpusIndex(corpus).longest_match(rng.sample(corpus, 1000)) <= 3


def test_a_text_of_unknown_tokens_has_no_run():
    assert CorpusIndex([1, 2, 3]).longest_match([4, 5]) == 0


def test_an_empty_text_has_no_run():
    assert CorpusIndex([1, 2, 3]).longest_match([]) == 0


def test_gpt2s_largest_token_is_told_from_its_neighbour():
    assert CorpusIndex([50256, 1]).match_lengths([50255, 50256]) == [0, 1]


def test_tensors_give_what_lists_give():
    corpus, ids = torch.tensor([1, 2, 3, 4]), torch.tensor([3, 4, 1])
    assert CorpusIndex(corpus).match_lengths(ids) == [2, 1, 1]


# Shares of n-grams


@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("seed", range(10))
def test_ngram_overlap_is_that_of_sets(seed, n):
    rng = random.Random(seed)
    corpus, ids = random_ids(rng, 20, 4), random_ids(rng, 30, 4)
    grams = [
        [tuple(part[i : i + n]) for i in range(len(part) - n + 1)]
        for part in (corpus, ids)
    ]
    expected = sum(gram in set(grams[0]) for gram in grams[1]) / len(grams[1])
    assert CorpusIndex(corpus).ngram_overlap(ids, n) == pytest.approx(expected)


def test_every_ngram_of_a_quotation_overlaps():
    assert CorpusIndex(range(100)).ngram_overlap(range(40, 60), 8) == 1.0


# Refused at the door


def test_an_empty_corpus_is_refused():
    with pytest.raises(ValueError, match="corpus holds no token; give at least one"):
        CorpusIndex([])


@pytest.mark.parametrize("n", [0, -1, 4])
def test_ngrams_that_a_text_cannot_have_are_refused(n):
    with pytest.raises(ValueError, match=f"n={n} must be at least 1 and at most 3"):
        CorpusIndex([1, 2, 3]).ngram_overlap([1, 2, 3], n)
