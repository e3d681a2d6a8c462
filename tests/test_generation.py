"""Text from a model: prompt plus continuation, greedy or sampled."""

import math
from collections import Counter

import pytest
import torch
from tiny import ALPHABET, CONTEXT_LEN, CharTokenizer, tiny_model
from torch import nn

from llm_helpers import generate, generate_text, generate_texts, next_token_probas
from llm_helpers.generation import new_caches

VOCABULARY_SIZE = CharTokenizer.n_vocab
PROBAS = [0.4, 0.3, 0.2, 0.1]


class Fixed(nn.Module):
    """The same distribution at every position; remembers what it was given."""

    def __init__(self, probas):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(probas).log())
        self.seen = []

    def forward(self, ids):
        self.seen.append(ids.clone())
        return self.logits.expand(*ids.shape, -1)


class Successor(nn.Module):
    """Nearly sure that the next token is the last one's successor."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(50.0))

    def forward(self, ids):
        following = (ids + 1) % VOCABULARY_SIZE
        return self.scale * nn.functional.one_hot(following, VOCABULARY_SIZE)


def text_of(model, prompt="the ", max_new_tokens=12, context_size=CONTEXT_LEN, **other):
    return generate_text(
        model, prompt, max_new_tokens, CharTokenizer(), context_size, **other
    )


def draw(probas, num_draws=8000, **settings):
    """How often each token comes out of one prediction, as shares."""
    start = torch.zeros(num_draws, 1, dtype=torch.int64)
    generator = torch.Generator().manual_seed(3)
    ids = generate(Fixed(probas), start, 1, 1, generator=generator, **settings)[:, 1]
    counts = Counter(ids.tolist())
    return [counts[token] / num_draws for token in range(len(probas))]


def probas_of(probas, **settings):
    return next_token_probas(torch.tensor(probas).log(), **settings)


# Prompt plus continuation


def test_a_text_begins_with_its_prompt(model):
    assert text_of(model, "the lamp ").startswith("the lamp ")


def test_a_continuation_has_the_tokens_asked_for(model):
    assert len(text_of(model, "the ", max_new_tokens=12)) == 4 + 12


def test_no_new_tokens_gives_back_the_prompt(model):
    assert text_of(model, "the lamp", max_new_tokens=0) == "the lamp"


def test_each_new_token_is_predicted_from_those_before():
    assert text_of(Successor(), "a", max_new_tokens=4, top_k=1) == "abcde"


def test_the_latest_context_size_tokens_are_read():
    model = Fixed([0.0, 1.0] + [0.0] * (VOCABULARY_SIZE - 2))
    text_of(model, "bcdef", max_new_tokens=2, context_size=3)
    seen = [CharTokenizer().decode(ids[0]) for ids in model.seen]
    assert seen == ["def", "efa"]


def test_a_prompt_longer_than_the_context_is_cropped(model):
    text = text_of(model, "the ferry waits for no one", max_new_tokens=3, top_k=1)
    assert len(text) == 29


def test_compact_format_puts_a_space_for_every_newline(model):
    prompt = "one\n\ntwo"
    text = text_of(model, prompt, max_new_tokens=0, compact_format=True)
    assert text == "one  two"


def test_newlines_stay_without_compact_format(model):
    assert text_of(model, "one\ntwo", max_new_tokens=0) == "one\ntwo"


def test_every_row_of_a_batch_is_continued():
    start = torch.tensor([[1], [5]])
    ids = generate(Successor(), start, 2, CONTEXT_LEN, top_k=1)
    assert ids.tolist() == [[1, 2, 3], [5, 6, 7]]


def test_a_model_without_the_same_parts_can_generate():
    model = nn.Sequential(nn.Embedding(31, 8), nn.Linear(8, 31))
    assert len(text_of(model, "the ", max_new_tokens=3)) == 7


# Greedy


def test_top_k_1_takes_the_likeliest_token(model):
    ids = torch.tensor([CharTokenizer().encode_ordinary("the ")])
    expected = model.eval()(ids)[0, -1].argmax()
    assert text_of(model, "the ", 1, top_k=1)[-1] == ALPHABET[expected]


def test_top_k_1_draws_no_random_number(model):
    generator = torch.Generator().manual_seed(3)
    before = generator.get_state()
    text_of(model, top_k=1, generator=generator)
    assert torch.equal(generator.get_state(), before)


def test_top_k_1_ignores_the_temperature(model):
    assert text_of(model, top_k=1, temperature=9.0) == text_of(model, top_k=1)


# Random numbers


@pytest.mark.parametrize("top_k", [None, 1, 5])
def test_generating_leaves_the_global_rng_alone(model, top_k):
    before = torch.get_rng_state()
    text_of(model, top_k=top_k)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_same_generator_seed_gives_the_same_text(model):
    texts = {
        text_of(model, generator=torch.Generator().manual_seed(3)) for _ in range(3)
    }
    assert len(texts) == 1


def test_another_generator_seed_gives_another_text(model):
    texts = {
        text_of(model, generator=torch.Generator().manual_seed(i)) for i in range(3)
    }
    assert len(texts) == 3


def test_a_given_generator_moves_on(model):
    generator = torch.Generator().manual_seed(3)
    assert text_of(model, generator=generator) != text_of(model, generator=generator)


def test_without_a_generator_the_same_call_gives_the_same_text(model):
    assert text_of(model) == text_of(model)


def test_without_a_generator_the_manual_seed_decides(model):
    texts = set()
    for seed in range(3):
        torch.manual_seed(seed)
        texts.add(text_of(model))
    assert len(texts) == 3


# The model is left as it was


def test_text_is_generated_without_dropout():
    assert text_of(tiny_model(dropout=0.5), top_k=1) == text_of(tiny_model(), top_k=1)


def test_generating_puts_back_the_mode_of_every_module():
    model = tiny_model(dropout=0.5)
    model.trf_blocks.eval()
    before = [module.training for module in model.modules()]
    text_of(model)
    assert [module.training for module in model.modules()] == before


def test_generating_needs_no_gradient(model):
    text_of(model)
    assert [p for p in model.parameters() if p.grad is not None] == []


# Sampling


def within_4_sigma(share, proba, num_draws=8000):
    return abs(share - proba) <= 4 * math.sqrt(proba * (1 - proba) / num_draws)


@pytest.mark.parametrize("token", range(4))
def test_tokens_come_as_often_as_they_are_likely(token):
    assert within_4_sigma(draw(PROBAS)[token], PROBAS[token])


@pytest.mark.parametrize("token", range(4))
def test_a_low_temperature_sharpens_the_draws(token):
    powers = [proba**2 for proba in PROBAS]
    share = draw(PROBAS, temperature=0.5)[token]
    assert within_4_sigma(share, powers[token] / sum(powers))


def test_tokens_beyond_the_top_k_never_come():
    assert draw(PROBAS, top_k=2)[2:] == [0.0, 0.0]


def test_tokens_beyond_the_top_p_never_come():
    assert draw(PROBAS, top_p=0.5)[2:] == [0.0, 0.0]


def test_without_settings_the_whole_distribution_stands():
    torch.testing.assert_close(probas_of(PROBAS), torch.tensor(PROBAS))


def test_a_temperature_divides_the_logits():
    expected = torch.softmax(torch.tensor(PROBAS).log() / 2.5, dim=-1)
    torch.testing.assert_close(probas_of(PROBAS, temperature=2.5), expected)


@pytest.mark.parametrize("temperature", [1e-3, 1e-8, 1e-30, 1e-40])
def test_a_temperature_near_0_takes_the_likeliest_token(temperature):
    probas = probas_of(PROBAS, temperature=temperature)
    torch.testing.assert_close(probas, torch.tensor([1.0, 0.0, 0.0, 0.0]))


def test_top_k_keeps_the_k_likeliest():
    probas = probas_of([0.1, 0.4, 0.2, 0.3], top_k=2)
    torch.testing.assert_close(probas, torch.tensor([0.0, 4 / 7, 0.0, 3 / 7]))


def test_top_k_keeps_k_tokens_where_logits_tie():
    assert (probas_of([0.25] * 4, top_k=2) > 0).sum() == 2


@pytest.mark.parametrize("top_k", [4, 5, 1000])
def test_a_top_k_of_the_vocabulary_or_more_keeps_all(top_k):
    torch.testing.assert_close(probas_of(PROBAS, top_k=top_k), torch.tensor(PROBAS))


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(0.01, 1), (0.39, 1), (0.41, 2), (0.69, 2), (0.71, 3), (0.89, 3), (0.91, 4)],
)
def test_top_p_keeps_the_fewest_tokens_that_reach_p(top_p, kept):
    assert (probas_of(PROBAS, top_p=top_p) > 0).tolist() == [i < kept for i in range(4)]


@pytest.mark.parametrize("kept", [1, 2, 3, 4])
def test_top_p_that_is_just_reached_keeps_no_more(kept):
    assert (probas_of([0.25] * 4, top_p=0.25 * kept) > 0).sum() == kept


def test_top_p_1_keeps_all():
    torch.testing.assert_close(probas_of(PROBAS, top_p=1.0), torch.tensor(PROBAS))


def test_top_p_keeps_the_likeliest_wherever_they_stand():
    probas = probas_of([0.1, 0.3, 0.2, 0.4], top_p=0.6)
    torch.testing.assert_close(probas, torch.tensor([0.0, 3 / 7, 0.0, 4 / 7]))


def test_top_p_is_taken_of_what_top_k_left():
    # Of 0.4 and 0.3 that are left, the first has 4 / 7 = 0.57 of the probability.
    probas = probas_of(PROBAS, top_k=2, top_p=0.5)
    torch.testing.assert_close(probas, torch.tensor([1.0, 0.0, 0.0, 0.0]))


def test_top_p_is_taken_after_the_temperature():
    # Squared and normalised, 0.4 has 0.53 of the probability.
    probas = probas_of(PROBAS, temperature=0.5, top_p=0.5)
    torch.testing.assert_close(probas, torch.tensor([1.0, 0.0, 0.0, 0.0]))


def test_every_row_is_filtered_by_itself():
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]]).log()
    kept = next_token_probas(logits, top_p=0.6) > 0
    assert kept.tolist() == [[True, True, False, False], [False, False, True, True]]


def test_the_logits_that_are_passed_stay_as_they_are():
    logits = torch.tensor(PROBAS).log()
    before = logits.clone()
    next_token_probas(logits, top_k=2, top_p=0.5, temperature=0.7)
    assert torch.equal(logits, before)


# Refused at the door


def test_an_empty_prompt_is_refused(model):
    with pytest.raises(
        ValueError, match="start_context is empty; give a prompt of at least one token"
    ):
        text_of(model, "")


@pytest.mark.parametrize("temperature", [0, 0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_above_0_is_refused(model, temperature):
    with pytest.raises(
        ValueError, match=f"temperature={temperature} must be above 0; .* use top_k=1"
    ):
        text_of(model, temperature=temperature)


@pytest.mark.parametrize("top_k", [0, -1])
def test_a_top_k_below_1_is_refused(model, top_k):
    with pytest.raises(
        ValueError, match=f"top_k={top_k} must be at least 1, or None for all tokens"
    ):
        text_of(model, top_k=top_k)


@pytest.mark.parametrize("top_p", [0.0, -0.1, 1.1, float("nan")])
def test_a_top_p_outside_0_to_1_is_refused(model, top_p):
    with pytest.raises(
        ValueError, match=f"top_p={top_p} must be above 0 and at most 1, or None"
    ):
        text_of(model, top_p=top_p)


def test_a_negative_number_of_tokens_is_refused(model):
    with pytest.raises(ValueError, match="max_new_tokens=-1 must be at least 0"):
        text_of(model, max_new_tokens=-1)


def test_a_context_size_below_1_is_refused(model):
    with pytest.raises(ValueError, match="context_size=0 at least 1"):
        text_of(model, context_size=0)


def test_a_context_size_beyond_the_models_context_is_refused(model):
    with pytest.raises(
        ValueError, match="sequence of 9 tokens is longer than the model's context of 8"
    ):
        text_of(model, max_new_tokens=9, context_size=20)


def test_a_prompt_outside_the_models_vocabulary_is_refused():
    model = tiny_model(vocabulary_size=5)
    with pytest.raises(ValueError, match="outside the vocabulary of 5 tokens"):
        text_of(model, "the ")


# The KV cache


def ids_of(model, ids, max_new_tokens=20, seed=4, context_size=CONTEXT_LEN, **settings):
    generator = torch.Generator().manual_seed(seed)
    return generate(
        model, ids, max_new_tokens, context_size, generator=generator, **settings
    )


SETTINGS = [
    dict(top_k=1),
    dict(),
    dict(top_k=5, temperature=0.7),
    dict(top_p=0.8, temperature=1.5),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("prompt_len", [1, 3, CONTEXT_LEN - 1, CONTEXT_LEN, 12])
@pytest.mark.parametrize("context_size", [CONTEXT_LEN, 5])
def test_the_cache_gives_the_same_tokens(settings, prompt_len, context_size):
    model = tiny_model(num_layers=3)
    prompt = torch.randint(VOCABULARY_SIZE, (4, prompt_len))
    settings = dict(settings, context_size=context_size)
    cached = ids_of(model, prompt, **settings)
    assert torch.equal(cached, ids_of(model, prompt, use_cache=False, **settings))


def test_the_cache_gives_the_same_tokens_with_a_large_vocabulary_and_long_text():
    model = tiny_model(
        num_layers=4, embedding_dim=64, num_heads=4, context_len=200,
        vocabulary_size=5000,
    )  # fmt: skip
    prompt = torch.randint(5000, (2, 7))
    settings = dict(max_new_tokens=220, context_size=200)
    for chosen in (dict(top_k=1), dict(temperature=0.9, top_p=0.9)):
        cached = ids_of(model, prompt, **settings, **chosen)
        plain = ids_of(model, prompt, use_cache=False, **settings, **chosen)
        assert torch.equal(cached, plain)


def test_cached_logits_are_those_of_the_whole_sequence_however_it_is_cut():
    model = tiny_model(num_layers=2, qkv_bias=True).eval()
    ids = torch.randint(VOCABULARY_SIZE, (3, CONTEXT_LEN))
    whole = model(ids)
    for cuts in ([1] * 8, [5, 3], [2, 4, 2], [7, 1]):
        caches = new_caches(model, CONTEXT_LEN)
        pieces = [model(piece, caches) for piece in ids.split(cuts, dim=1)]
        torch.testing.assert_close(torch.cat(pieces, dim=1), whole)


def test_with_the_cache_each_token_is_read_once():
    model, lengths = tiny_model(), []
    model.tok_emb.register_forward_hook(
        lambda module, inputs, _: lengths.append(inputs[0].shape[1])
    )
    ids_of(model, torch.tensor([[1, 2, 3]]), max_new_tokens=5)
    assert lengths == [3, 1, 1, 1, 1]


def test_past_the_context_the_latest_window_is_read_anew():
    model, lengths = tiny_model(), []
    model.tok_emb.register_forward_hook(
        lambda module, inputs, _: lengths.append(inputs[0].shape[1])
    )
    ids_of(model, torch.tensor([[1, 2, 3, 4, 5, 6]]), max_new_tokens=5)
    assert lengths == [6, 1, 1, CONTEXT_LEN, CONTEXT_LEN]


def test_a_cache_knows_when_the_context_is_full():
    model = tiny_model()
    caches = new_caches(model, CONTEXT_LEN + 1)
    model(torch.zeros(1, CONTEXT_LEN, dtype=torch.int64), caches)
    with pytest.raises(ValueError, match="a sequence of 9 tokens is longer"):
        model(torch.zeros(1, 1, dtype=torch.int64), caches)


# Several prompts at once


PROMPTS = ["the ferry", "a", "she said, wait"]


def test_prompts_of_different_lengths_are_continued_as_each_would_be_alone(model):
    texts = generate_texts(model, PROMPTS, 9, CharTokenizer(), CONTEXT_LEN, top_k=1)
    assert texts == [text_of(model, prompt, 9, top_k=1) for prompt in PROMPTS]


def test_sampled_texts_keep_their_prompts_and_lengths(model):
    texts = generate_texts(model, PROMPTS, 9, CharTokenizer(), CONTEXT_LEN)
    assert [text[: len(p)] for text, p in zip(texts, PROMPTS)] == PROMPTS
    assert [len(text) - 9 for text in texts] == [len(prompt) for prompt in PROMPTS]


def test_rows_of_a_batch_are_drawn_each_for_itself():
    model = Fixed([1.0] * 30)
    texts = generate_texts(model, ["a", "a"], 12, CharTokenizer(), CONTEXT_LEN)
    assert texts[0] != texts[1]


def test_one_prompt_in_a_batch_is_drawn_as_generate_text_draws_it(model):
    texts = generate_texts(model, ["the"], 9, CharTokenizer(), CONTEXT_LEN)
    assert texts == [text_of(model, "the", 9)]


@pytest.mark.parametrize("prompts", [[], ["the", ""]])
def test_no_prompt_or_an_empty_one_is_refused(model, prompts):
    with pytest.raises(ValueError, match="give prompts of at least one token each"):
        generate_texts(model, prompts, 9, CharTokenizer(), CONTEXT_LEN)
