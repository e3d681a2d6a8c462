"""The explorers of one prediction show what PyTorch computes for their settings."""

import math
import re

import pytest
import torch
import torch.nn.functional as F
from seen import control, figure, line, tags, text
from tiny import CONTEXT_LEN, tiny_model

from llm_helpers import next_token_probas
from llm_helpers.explorers import CrossEntropyExplorer, SamplingExplorer

LOGITS = {"lamp": 2.0, "tide": 1.0, "quay": 0.5, "cat": -1.0}


@pytest.fixture
def entropy():
    return CrossEntropyExplorer(LOGITS, target="tide")


def numbers(explorer):
    """All numbers of the printed line, as floats."""
    found = re.findall(r"\d[\d,]*\.?\d*(?:e[+-]\d+)?", text(explorer.numbers.value))
    return [float(number.replace(",", "")) for number in found]


def bars(explorer, name="softmax"):
    return [y for _, y in line(explorer, name)]


def loss_of(logits, target, temperature=1.0):
    """Cross entropy in double precision, by its definition."""
    scaled = torch.tensor(list(logits.values()), dtype=torch.float64) / temperature
    return -scaled.log_softmax(dim=0)[list(logits).index(target)].item()


# Cross entropy


def test_the_bars_are_the_softmax_of_the_logits(entropy):
    probas = torch.softmax(torch.tensor(list(LOGITS.values())), dim=0)
    assert bars(entropy) == pytest.approx(probas.tolist())


def test_each_token_has_its_bar(entropy):
    assert [token for token, _ in line(entropy, "softmax")] == list(LOGITS)


def test_the_bars_are_labelled_with_their_probabilities(entropy):
    assert figure(entropy).data[0].text == tuple(f"{p:.3f}" for p in bars(entropy))


def test_the_loss_is_pytorchs_cross_entropy(entropy):
    expected = F.cross_entropy(torch.tensor([*LOGITS.values()]), torch.tensor(1))
    assert entropy.loss() == pytest.approx(expected.item())


def test_probability_loss_and_perplexity_are_printed(entropy):
    loss = loss_of(LOGITS, "tide")
    expected = [math.exp(-loss), loss, math.exp(loss), 4]
    assert numbers(entropy) == pytest.approx(expected, rel=1e-3)


def test_the_printed_line_names_the_target(entropy):
    assert text(entropy.numbers.value).startswith("p(tide) = ")


def test_a_moved_logit_changes_the_bars(entropy):
    control(entropy, "tide").value = 3.0
    probas = torch.softmax(torch.tensor([2.0, 3.0, 0.5, -1.0]), dim=0)
    assert bars(entropy) == pytest.approx(probas.tolist())


def test_a_moved_logit_changes_the_printed_loss(entropy):
    control(entropy, "tide").value = 3.0
    loss = loss_of(LOGITS | {"tide": 3.0}, "tide")
    assert numbers(entropy)[1] == pytest.approx(loss, abs=5e-4)


def test_another_target_has_another_loss(entropy):
    control(entropy, "Target").value = "cat"
    loss = loss_of(LOGITS, "cat")
    assert numbers(entropy)[1] == pytest.approx(loss, abs=5e-4)


def test_another_target_leaves_the_bars(entropy):
    before = bars(entropy)
    control(entropy, "Target").value = "cat"
    assert bars(entropy) == before


def test_the_temperature_divides_the_logits(entropy):
    control(entropy, "Temperature").value = 2.0
    probas = torch.softmax(torch.tensor(list(LOGITS.values())) / 2, dim=0)
    assert bars(entropy) == pytest.approx(probas.tolist())


@pytest.mark.parametrize("temperature", [0.1, 0.5, 10.0])
def test_the_printed_loss_follows_the_temperature(entropy, temperature):
    control(entropy, "Temperature").value = temperature
    loss = loss_of(LOGITS, "tide", temperature)
    assert numbers(entropy)[1] == pytest.approx(loss, abs=5e-4)


def test_the_largest_loss_that_can_be_set_is_finite():
    """Its probability, exp(-120), is 0 in single precision."""
    explorer = CrossEntropyExplorer({"a": 6.0, "b": -6.0}, target="b")
    control(explorer, "Temperature").value = 0.1
    assert explorer.loss() == pytest.approx(120.0)


def test_the_targets_bar_stands_out_without_colour(entropy):
    assert figure(entropy).data[0].marker.pattern.shape == ("", "/", "", "")


def test_the_pattern_moves_to_another_target(entropy):
    control(entropy, "Target").value = "cat"
    assert figure(entropy).data[0].marker.pattern.shape == ("", "", "", "/")


def test_the_curve_is_minus_log_p(entropy):
    curve = line(entropy, "-log p")
    assert [y for _, y in curve] == pytest.approx([-math.log(p) for p, _ in curve])


def test_the_target_lies_on_the_curve(entropy):
    control(entropy, "Target").value = "cat"
    [(p, loss)] = line(entropy, "the target")
    assert loss == pytest.approx(-math.log(p))


def test_the_marked_target_is_the_one_that_is_chosen(entropy):
    control(entropy, "Target").value = "cat"
    [(p, _)] = line(entropy, "the target")
    assert p == pytest.approx(math.exp(-loss_of(LOGITS, "cat")))


def test_large_logits_are_not_cut():
    explorer = CrossEntropyExplorer({"a": 9.0, "b": 0.0}, target="b")
    assert explorer.loss() == pytest.approx(loss_of({"a": 9.0, "b": 0.0}, "b"))


def test_a_target_that_is_no_token_is_refused():
    with pytest.raises(ValueError, match=r"target='moon' must be one of .* \['lamp', "):
        CrossEntropyExplorer(LOGITS, target="moon")


def test_a_single_token_is_refused():
    with pytest.raises(ValueError, match="at least two tokens"):
        CrossEntropyExplorer({"lamp": 1.0}, target="lamp")


def test_markup_in_a_token_is_shown_as_it_is():
    explorer = CrossEntropyExplorer({"<b>&amp;": 1.0, "a": 0.0}, target="<b>&amp;")
    assert text(explorer.numbers.value).startswith("p(<b>&amp;) = ")


def test_markup_in_a_token_does_nothing():
    explorer = CrossEntropyExplorer({"<i>": 1.0, "a": 0.0}, target="<i>")
    assert tags(explorer.numbers.value) == {"b"}  # around the loss


# Sampling


PROMPT = "the la"


@pytest.fixture
def sampling(tokenizer):
    return SamplingExplorer(tiny_model(seed=3), PROMPT, tokenizer, CONTEXT_LEN)


def logits_after(prompt, tokenizer, model=None):
    """The model's logits for the next token, (V,)."""
    model = tiny_model(seed=3) if model is None else model
    ids = tokenizer.encode_ordinary(prompt)[-CONTEXT_LEN:]
    with torch.no_grad():
        return model.eval()(torch.tensor([ids]))[0, -1]


def remaining(explorer):
    """What the printed line says: tokens kept, tokens in all, the share of the kept."""
    return numbers(explorer)


# (settings of the sliders, the same for next_token_probas)
SETTINGS = [
    ({}, {}),
    ({"Temperature": 0.5}, {"temperature": 0.5}),
    ({"Temperature": 10.0}, {"temperature": 10.0}),
    ({"Top-k": "1"}, {"top_k": 1}),
    ({"Top-k": "5"}, {"top_k": 5}),
    ({"Top-k": "5000"}, {"top_k": 5000}),  # more than there are
    ({"Top-p": 0.5}, {"top_p": 0.5}),
    ({"Top-p": 0.02}, {"top_p": 0.02}),
    (
        {"Temperature": 0.5, "Top-k": "10", "Top-p": 0.6},
        {"temperature": 0.5, "top_k": 10, "top_p": 0.6},
    ),
]
with_settings = pytest.mark.parametrize(
    ("sliders", "arguments"), SETTINGS, ids=[str(sliders) for sliders, _ in SETTINGS]
)


def move(explorer, sliders):
    for description, value in sliders.items():
        control(explorer, description).value = value


@with_settings
def test_what_is_kept_is_what_generation_draws_from(
    sampling, tokenizer, sliders, arguments
):
    move(sampling, sliders)
    expected = next_token_probas(logits_after(PROMPT, tokenizer), **arguments)
    assert torch.equal(sampling.kept(), expected)


@with_settings
def test_the_tokens_that_remain_are_counted(sampling, tokenizer, sliders, arguments):
    move(sampling, sliders)
    kept = next_token_probas(logits_after(PROMPT, tokenizer), **arguments)
    assert numbers(sampling)[:2] == [(kept > 0).sum().item(), 31]


@with_settings
def test_their_share_of_the_models_probability_is_printed(
    sampling, tokenizer, sliders, arguments
):
    move(sampling, sliders)
    logits = logits_after(PROMPT, tokenizer)
    kept = next_token_probas(logits, **arguments) > 0
    share = torch.softmax(logits, dim=0)[kept].sum().item()
    assert numbers(sampling)[2] == pytest.approx(share, abs=5e-4)


def test_the_likeliest_20_tokens_are_shown(sampling, tokenizer):
    ids = logits_after(PROMPT, tokenizer).topk(20).indices.tolist()
    names = figure(sampling).layout.xaxis.ticktext
    assert list(names) == [repr(tokenizer.decode([i])) for i in ids]


def test_one_bar_is_the_models_probability(sampling, tokenizer):
    probas = torch.softmax(logits_after(PROMPT, tokenizer), dim=0)
    assert bars(sampling, "the model's") == probas.topk(20).values.tolist()


def test_the_models_bars_stay_whatever_is_set(sampling):
    before = bars(sampling, "the model's")
    move(sampling, {"Temperature": 0.2, "Top-k": "3", "Top-p": 0.5})
    assert bars(sampling, "the model's") == before


def test_the_other_bar_is_what_is_drawn_from(sampling):
    move(sampling, {"Top-k": "3"})
    kept = sampling.kept().topk(3).values.tolist()
    assert bars(sampling, "drawn from") == kept + [0.0] * 17


def test_the_two_bars_differ_in_more_than_colour(sampling):
    model, drawn = figure(sampling).data
    assert (model.marker.pattern.shape, drawn.marker.pattern.shape) == ("/", None)


def test_a_small_vocabulary_is_shown_whole(tokenizer):
    model = tiny_model(vocabulary_size=5)
    explorer = SamplingExplorer(model, "abcd", tokenizer, CONTEXT_LEN)
    assert len(bars(explorer, "the model's")) == 5


def test_another_prompt_has_other_probabilities(sampling, tokenizer):
    control(sampling, "Prompt").value = "who lit"
    probas = torch.softmax(logits_after("who lit", tokenizer), dim=0)
    assert bars(sampling, "the model's") == probas.topk(20).values.tolist()


def test_the_sliders_hold_for_another_prompt(sampling, tokenizer):
    move(sampling, {"Top-k": "5"})
    control(sampling, "Prompt").value = "who lit"
    expected = next_token_probas(logits_after("who lit", tokenizer), top_k=5)
    assert torch.equal(sampling.kept(), expected)


def test_of_a_long_prompt_the_model_reads_the_end(tokenizer):
    model = tiny_model(seed=3)
    long = SamplingExplorer(model, "xxxxx" + "the lamp", tokenizer, CONTEXT_LEN)
    assert torch.equal(long.logits, logits_after("the lamp", tokenizer))


def test_an_empty_prompt_is_refused(tokenizer):
    with pytest.raises(ValueError, match=r"^prompt is empty; give at least one token$"):
        SamplingExplorer(tiny_model(), "", tokenizer, CONTEXT_LEN)


def test_a_prompt_that_is_emptied_says_what_is_missing(sampling):
    control(sampling, "Prompt").value = ""
    assert text(sampling.numbers.value) == "prompt is empty; give at least one token"


def test_after_an_empty_prompt_the_next_one_is_read(sampling, tokenizer):
    control(sampling, "Prompt").value = ""
    control(sampling, "Prompt").value = "who lit"
    assert torch.equal(sampling.logits, logits_after("who lit", tokenizer))


def test_dropout_is_off(tokenizer):
    model = tiny_model(dropout=0.5, seed=3)
    model.train()
    explorer = SamplingExplorer(model, PROMPT, tokenizer, CONTEXT_LEN)
    assert torch.equal(explorer.logits, logits_after(PROMPT, tokenizer))


@pytest.mark.parametrize("training", [True, False])
def test_the_models_mode_is_left_as_it_was(tokenizer, training):
    model = tiny_model(dropout=0.5).train(training)
    SamplingExplorer(model, PROMPT, tokenizer, CONTEXT_LEN)
    assert model.training is training
