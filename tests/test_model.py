"""GPT-2's architecture: its published figures, its names, its limits."""

import platform
from dataclasses import FrozenInstanceError, asdict

import pytest
import torch
import torch.nn.functional as F
from tiny import CONTEXT_LEN, CharTokenizer, tiny_model
from torch import nn

from llm_helpers import (
    GELU,
    GPT2_SIZES,
    FeedForward,
    GPTConfig,
    GPTModel,
    LayerNorm,
    MultiHeadAttention,
    TransformerBlock,
    calc_loss_batch,
)
from llm_helpers.model import Linear, causal_attention

VOCABULARY_SIZE = CharTokenizer.n_vocab
# The exact figures are promised on Linux x86-64; elsewhere sums may round differently.
IS_REFERENCE = (platform.system(), platform.machine()) == ("Linux", "x86_64")
TOLERANCE = 0.00005 if IS_REFERENCE else 0.05


# The published figures


@pytest.fixture(scope="module")
def published_losses():
    """The loss of GPT-2 small with seed 123, in train mode and then in eval mode."""
    inputs = torch.tensor([[16833, 3626, 6100], [40, 1107, 588]])
    targets = torch.tensor([[3626, 6100, 345], [588, 428, 11311]])
    torch.manual_seed(123)
    model = GPTModel(768, 12, 12, 1024, 50257, 0.1, False)
    losses = {}
    with torch.no_grad():
        for mode in ("train", "eval"):
            model.train(mode == "train")
            losses[mode] = calc_loss_batch(inputs, targets, model, "cpu").item()
    return losses


@pytest.mark.parametrize(("mode", "figure"), [("train", 11.0318), ("eval", 11.1018)])
def test_the_published_loss_comes_out(published_losses, mode, figure):
    assert published_losses[mode] == pytest.approx(figure, abs=TOLERANCE)


# Names and sizes


def test_the_parameters_have_the_series_names_and_order():
    block = [
        *("att.W_query.weight", "att.W_key.weight", "att.W_value.weight"),
        *("att.out_proj.weight", "att.out_proj.bias"),
        *("ff.layers.0.weight", "ff.layers.0.bias"),
        *("ff.layers.2.weight", "ff.layers.2.bias"),
        *("norm1.scale", "norm1.shift", "norm2.scale", "norm2.shift"),
    ]
    assert [name for name, _ in tiny_model(num_layers=2).named_parameters()] == [
        *("tok_emb.weight", "pos_emb.weight"),
        *(f"trf_blocks.0.{name}" for name in block),
        *(f"trf_blocks.1.{name}" for name in block),
        *("final_norm.scale", "final_norm.shift", "out_head.weight"),
    ]


def test_qkv_bias_adds_a_bias_to_the_three_projections():
    without = dict(tiny_model().named_parameters())
    added = dict(tiny_model(qkv_bias=True).named_parameters()).keys() - without.keys()
    assert {name.removeprefix("trf_blocks.0.att.") for name in added} == {
        *("W_query.bias", "W_key.bias", "W_value.bias")
    }


def test_a_state_dict_holds_parameters_only(model):
    assert model.state_dict().keys() == dict(model.named_parameters()).keys()


def test_the_modules_have_the_series_names(model):
    assert [name for name, _ in model.named_children()] == [
        *("tok_emb", "pos_emb", "drop_emb", "trf_blocks", "final_norm", "out_head")
    ]


def test_the_position_embedding_shows_the_context_length():
    assert tiny_model(context_len=11).pos_emb.weight.shape[0] == 11


def test_the_output_head_is_not_tied_to_the_token_embedding(model):
    assert not torch.equal(model.out_head.weight, model.tok_emb.weight)


def test_gpt2_small_has_163009536_parameters():
    with torch.device("meta"):
        model = GPTModel.from_config(GPT2_SIZES["gpt2-small"])
    assert sum(p.numel() for p in model.parameters()) == 163_009_536


@pytest.mark.parametrize("name", GPT2_SIZES)
def test_every_preset_builds_a_model_of_its_size(name):
    config = GPT2_SIZES[name]
    with torch.device("meta"):
        model = GPTModel.from_config(config)
    assert len(model.trf_blocks) == config.num_layers


def test_the_presets_grow_from_small_to_xl():
    assert list(GPT2_SIZES) == [*("gpt2-small", "gpt2-medium", "gpt2-large", "gpt2-xl")]


# The configuration


def test_a_model_built_from_a_config_carries_that_config():
    config = GPTConfig(
        embedding_dim=16,
        num_layers=1,
        num_heads=2,
        context_len=8,
        vocabulary_size=20,
        dropout=0.2,
        qkv_bias=True,
    )
    assert GPTModel.from_config(config).config == config


def test_a_models_config_builds_the_same_model():
    model = tiny_model(seed=3)
    torch.manual_seed(3)
    twin = GPTModel.from_config(model.config)
    assert torch.equal(twin.out_head.weight, model.out_head.weight)


def test_a_config_has_the_models_parameter_names():
    assert list(asdict(GPTConfig())) == [
        *("embedding_dim", "num_layers", "num_heads", "context_len"),
        *("vocabulary_size", "dropout", "qkv_bias"),
    ]


def test_a_config_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        GPTConfig().dropout = 0.5


def test_a_config_takes_keywords_only():
    with pytest.raises(TypeError, match="positional"):
        GPTConfig(768)


# What the model computes


def test_logits_have_one_score_for_every_token_of_the_vocabulary(model):
    assert model(torch.zeros(3, 5, dtype=torch.int64)).shape == (3, 5, VOCABULARY_SIZE)


def test_a_sequence_may_fill_the_whole_context(model):
    ids = torch.zeros(1, CONTEXT_LEN, dtype=torch.int64)
    assert model(ids).shape[1] == CONTEXT_LEN


@pytest.mark.parametrize("position", range(1, CONTEXT_LEN))
def test_a_later_token_does_not_change_earlier_logits(position):
    model = tiny_model(num_layers=2)
    ids = torch.randint(VOCABULARY_SIZE, (2, CONTEXT_LEN))
    changed = ids.clone()
    changed[:, position] = (changed[:, position] + 1) % VOCABULARY_SIZE
    assert torch.equal(model(ids)[:, :position], model(changed)[:, :position])


def test_a_token_changes_the_logits_of_those_that_follow():
    model = tiny_model()
    ids = torch.zeros(1, CONTEXT_LEN, dtype=torch.int64)
    changed = ids.clone()
    changed[:, 0] = 1
    differs = (model(ids) != model(changed)).any(dim=-1)
    assert differs.all()


def test_the_order_of_earlier_tokens_matters(model):
    last = model(torch.tensor([[1, 2, 3], [2, 1, 3]]))[:, -1]
    assert not torch.allclose(last[0], last[1])


def test_dropout_is_off_in_eval_mode():
    model = tiny_model(dropout=0.5).eval()
    ids = torch.zeros(2, CONTEXT_LEN, dtype=torch.int64)
    assert torch.equal(model(ids), model(ids))


def test_dropout_is_on_in_train_mode():
    model = tiny_model(dropout=0.5)
    ids = torch.zeros(2, CONTEXT_LEN, dtype=torch.int64)
    assert not torch.equal(model(ids), model(ids))


def test_attention_alone_drops_out_in_train_mode_only():
    attention = MultiHeadAttention(16, 2, 0.5)
    x = torch.randn(2, CONTEXT_LEN, 16)
    in_training = torch.equal(attention(x), attention(x))
    attention.eval()
    assert (in_training, torch.equal(attention(x), attention(x))) == (False, True)


def test_an_eval_mode_forward_draws_no_random_number():
    model = tiny_model(dropout=0.5).eval()
    before = torch.get_rng_state()
    model(torch.zeros(2, CONTEXT_LEN, dtype=torch.int64))
    assert torch.equal(torch.get_rng_state(), before)


def test_every_parameter_gets_a_gradient():
    model = tiny_model(num_layers=2, qkv_bias=True)
    ids = torch.randint(VOCABULARY_SIZE, (4, CONTEXT_LEN))
    calc_loss_batch(ids, ids.roll(-1, dims=1), model, "cpu").backward()
    unmoved = [n for n, p in model.named_parameters() if p.grad is None]
    assert unmoved == []


# The parts


def test_attention_equals_softmax_of_scaled_products():
    C, H, T = 12, 3, 5
    attention = MultiHeadAttention(C, H, 0.0, qkv_bias=True)
    x = torch.randn(2, T, C)
    heads = []
    for h in range(H):
        rows = slice(h * C // H, (h + 1) * C // H)
        q, k, v = (
            F.linear(x, layer.weight[rows], layer.bias[rows])
            for layer in (attention.W_query, attention.W_key, attention.W_value)
        )
        scores = q @ k.transpose(1, 2) / (C // H) ** 0.5
        scores = scores.masked_fill(torch.ones(T, T).triu(1).bool(), -torch.inf)
        heads.append(scores.softmax(dim=-1) @ v)
    expected = attention.out_proj(torch.cat(heads, dim=-1))
    torch.testing.assert_close(attention(x), expected)


def test_a_block_adds_both_sublayers_to_its_input():
    block = TransformerBlock(16, 2, 0.0)
    x = torch.randn(2, 5, 16)
    middle = x + block.att(block.norm1(x))
    torch.testing.assert_close(block(x), middle + block.ff(block.norm2(middle)))


def test_layer_norm_gives_each_token_mean_0_and_variance_1():
    x = LayerNorm(64)(torch.randn(2, 5, 64) * 3 + 7)
    torch.testing.assert_close(x.mean(-1), torch.zeros(2, 5), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        x.var(-1, unbiased=False), torch.ones(2, 5), atol=1e-4, rtol=0
    )


def test_gelu_is_gpt2s_tanh_form():
    x = torch.linspace(-4, 4, 33)
    inner = (2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)
    torch.testing.assert_close(GELU()(x), 0.5 * x * (1 + torch.tanh(inner)))


def test_the_feed_forward_layer_is_four_times_as_wide_inside():
    assert FeedForward(16).layers[0].out_features == 64


# Weights of the series


def with_masks(state, num_layers):
    """The state dict as the series saves it, with the causal mask of every layer."""
    mask = torch.triu(torch.ones(CONTEXT_LEN, CONTEXT_LEN), diagonal=1)
    masks = {f"trf_blocks.{i}.att.mask": mask for i in range(num_layers)}
    return {**state, **masks}


def test_mask_buffers_in_a_state_dict_are_ignored():
    source, target = (tiny_model(seed=seed, num_layers=2) for seed in (1, 2))
    target.load_state_dict(with_masks(source.state_dict(), 2), strict=True)
    assert torch.equal(target.out_head.weight, source.out_head.weight)


def test_loading_leaves_the_state_dict_that_was_passed_alone(model):
    state = with_masks(model.state_dict(), 1)
    model.load_state_dict(state)
    assert "trf_blocks.0.att.mask" in state


def test_another_unknown_entry_is_still_refused(model):
    state = {**model.state_dict(), "trf_blocks.0.att.masks": torch.ones(1)}
    with pytest.raises(RuntimeError, match="Unexpected key"):
        model.load_state_dict(state, strict=True)


def test_an_attention_layer_alone_ignores_its_mask():
    layer = MultiHeadAttention(16, 2, 0.0)
    assert isinstance(layer, nn.Module)
    result = layer.load_state_dict({**layer.state_dict(), "mask": torch.ones(8, 8)})
    assert result.unexpected_keys == []


# Refused at the door


def test_a_sequence_longer_than_the_context_is_refused(model):
    ids = torch.zeros(1, CONTEXT_LEN + 1, dtype=torch.int64)
    with pytest.raises(
        ValueError, match=r"sequence of 9 tokens is longer .* context of 8; cut it or"
    ):
        model(ids)


@pytest.mark.parametrize("token_id", [-1, VOCABULARY_SIZE, 50256])
def test_a_token_id_outside_the_vocabulary_is_refused(model, token_id):
    with pytest.raises(
        ValueError,
        match=f"token id {token_id} is outside the vocabulary of {VOCABULARY_SIZE} "
        "tokens; build the model with the tokenizer's n_vocab",
    ):
        model(torch.tensor([[0, token_id, 1]]))


@pytest.mark.parametrize(
    "build",
    [
        lambda: GPTConfig(embedding_dim=100, num_heads=12),
        lambda: GPTModel(100, 1, 12, 8, 20, 0.0, False),
        lambda: TransformerBlock(100, 12, 0.0),
        lambda: MultiHeadAttention(100, 12, 0.0),
    ],
    ids=["GPTConfig", "GPTModel", "TransformerBlock", "MultiHeadAttention"],
)
def test_an_embedding_not_divisible_by_the_heads_is_refused(build):
    with pytest.raises(
        ValueError,
        match="embedding_dim=100 is not divisible by num_heads=12; try num_heads=10",
    ):
        build()


@pytest.mark.parametrize(
    "name",
    ["embedding_dim", "num_layers", "num_heads", "context_len", "vocabulary_size"],
)
@pytest.mark.parametrize("value", [0, -1, 1.5, "12", None])
def test_a_size_that_is_no_whole_number_above_0_is_refused(name, value):
    with pytest.raises(
        ValueError, match=f"{name}={value!r} must be a whole number above 0"
    ):
        GPTConfig(**{name: value})


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 1.5, float("nan")])
def test_a_dropout_outside_0_to_1_is_refused(dropout):
    with pytest.raises(
        ValueError, match=f"dropout={dropout} must be at least 0 and below 1"
    ):
        GPTConfig(dropout=dropout)


# Attention in blocks: long sequences with dropout


def heads(num_tokens, num_cached=0, seed=5):
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 3, num_cached + num_tokens, 8)
    q, k, v = (torch.randn(shape, generator=generator) for _ in range(3))
    return [x.requires_grad_() for x in (q[:, :, num_cached:].detach(), k, v)]


NEVER = 1e-12  # a dropout that zeroes nothing, but goes the way of dropout


@pytest.mark.parametrize(
    ("num_tokens", "num_cached"), [(10, 0), (12, 0), (9, 3), (4, 7)]
)
def test_attention_in_blocks_is_that_of_the_whole_sequence(
    monkeypatch, num_tokens, num_cached
):
    monkeypatch.setattr("llm_helpers.model._BLOCK", 4)
    whole, blocks = heads(num_tokens, num_cached), heads(num_tokens, num_cached)
    expected = causal_attention(*whole)
    found = causal_attention(*blocks, dropout=NEVER)
    torch.testing.assert_close(found, expected)
    for output, leaves in ((expected, whole), (found, blocks)):
        output.sin().sum().backward()
        assert leaves[0].grad.abs().sum() > 0
    for one, other in zip(whole, blocks):
        torch.testing.assert_close(one.grad, other.grad)


def test_attention_in_blocks_drops_weights_and_scales_the_others(monkeypatch):
    monkeypatch.setattr("llm_helpers.model._BLOCK", 16)
    torch.manual_seed(0)
    queries = torch.zeros(4, 4, 256, 8)  # every visible token weighs the same
    context = causal_attention(queries, queries, torch.ones_like(queries), dropout=0.5)
    kept = context[:, :, 0, 0]  # the first token sees itself alone: dropped or doubled
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    means = context[:, :, 64:].mean(dim=(0, 1, 3))
    assert (means - 1).abs().max() < 5 / (16 * 64) ** 0.5  # five standard errors


@pytest.mark.parametrize(("num_tokens", "all_drawn"), [(64, True), (256, False)])
def test_only_a_long_sequence_spares_the_draws_for_what_is_masked(
    num_tokens, all_drawn
):
    def number_after(action):
        torch.manual_seed(0)
        action()
        return torch.rand(1).item()

    inputs, scores = heads(num_tokens), torch.empty(2, 3, num_tokens, num_tokens)
    ours = number_after(lambda: causal_attention(*inputs, dropout=0.1))
    assert (ours == number_after(scores.bernoulli_)) == all_drawn


# Linear layers on few tokens


@pytest.mark.parametrize("out_features", [1024, 1022, 1021])  # 1021 is prime
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (2, 5), (4, 4), (17, 1), (7,), ()])
def test_a_linear_layer_on_few_tokens_gives_what_pytorchs_gives(
    shape, bias, out_features
):
    layer = Linear(512, out_features, bias=bias).eval()
    x, again = (torch.randn(*shape, 512, generator=fixed()) for _ in range(2))
    expected = torch.nn.functional.linear(x.requires_grad_(), layer.weight, layer.bias)
    found = layer(again.requires_grad_())
    torch.testing.assert_close(found, expected)
    expected.sum().backward()
    gradient, layer.weight.grad = layer.weight.grad, None
    found.sum().backward()
    torch.testing.assert_close(layer.weight.grad, gradient)
    torch.testing.assert_close(again.grad, x.grad)


def fixed():
    return torch.Generator().manual_seed(0)


def test_only_few_tokens_and_large_matrices_are_cut_into_slices():
    large, small = Linear(512, 1024).eval(), Linear(16, 64).eval()
    assert large._num_slices(torch.zeros(16, 1, 512)) == torch.get_num_threads()
    assert large._num_slices(torch.zeros(17, 1, 512)) == 1
    assert small._num_slices(torch.zeros(1, 1, 16)) == 1
