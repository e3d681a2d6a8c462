"""Published GPT-2 weights, read from safetensors files.

The files are written here, in the published names and shapes. What has to agree with
an independent reader is compared with GPT-2 of Hugging Face's transformers, which is
none of the course's dependencies: those tests run where it is installed.
"""

import re
from dataclasses import replace
from itertools import starmap
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from llm_helpers import GPT2_SIZES, GPTConfig, GPTModel, generate
from llm_helpers.gpt2_weights import config_of, load_gpt2_weights, places, shape_of

SIZE = GPTConfig(
    embedding_dim=128,
    num_layers=2,
    num_heads=2,
    context_len=32,
    vocabulary_size=97,
    qkv_bias=True,
)
C = SIZE.embedding_dim
HUB = "take model.safetensors from openai-community/gpt2"


def published_shapes(size):
    """Names and shapes as OpenAI's weights have them on the Hugging Face hub."""
    C = size.embedding_dim
    block = {
        "ln_1.weight": (C,),
        "ln_1.bias": (C,),
        "attn.c_attn.weight": (C, 3 * C),
        "attn.c_attn.bias": (3 * C,),
        "attn.c_proj.weight": (C, C),
        "attn.c_proj.bias": (C,),
        "ln_2.weight": (C,),
        "ln_2.bias": (C,),
        "mlp.c_fc.weight": (C, 4 * C),
        "mlp.c_fc.bias": (4 * C,),
        "mlp.c_proj.weight": (4 * C, C),
        "mlp.c_proj.bias": (C,),
    }
    shapes = {
        "wte.weight": (size.vocabulary_size, C),
        "wpe.weight": (size.context_len, C),
        "ln_f.weight": (C,),
        "ln_f.bias": (C,),
    }
    for n in range(size.num_layers):
        shapes |= {f"h.{n}.{name}": shape for name, shape in block.items()}
    return shapes


def as_the_file_has_it(model):
    """The shapes that the loader expects of a model's file, by published name."""
    return {name: shape_of(parts) for name, parts in places(model).items()}


def on_meta(size):
    with torch.device("meta"):
        return GPTModel.from_config(size)


def equal(model, other):
    """Whether two models hold the same numbers."""
    state, others = model.state_dict(), other.state_dict()
    return all(starmap(torch.equal, zip(state.values(), others.values(), strict=True)))


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(3)
    return {n: 0.1 * torch.randn(shape) for n, shape in published_shapes(SIZE).items()}


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    """Writes tensors to a new folder's `model.safetensors` and returns its path."""

    def write(tensors):
        path = tmp_path_factory.mktemp("gpt2") / "model.safetensors"
        save_file({n: t.contiguous() for n, t in tensors.items()}, path)
        return path

    return write


@pytest.fixture(scope="module")
def path(weights, write):
    return write(weights)


@pytest.fixture(scope="module")
def loaded(path):
    """To be read, not to be changed."""
    return load_gpt2_weights(path)


# Which number goes where


@pytest.mark.parametrize("part", [0, 1, 2], ids=["W_query", "W_key", "W_value"])
def test_query_key_and_value_are_the_thirds_of_one_tensor(loaded, weights, part):
    att = loaded.trf_blocks[1].att
    layer = (att.W_query, att.W_key, att.W_value)[part]
    third = slice(part * C, (part + 1) * C)
    assert torch.equal(layer.weight, weights["h.1.attn.c_attn.weight"][:, third].T)
    assert torch.equal(layer.bias, weights["h.1.attn.c_attn.bias"][third])


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("attn.c_proj", "att.out_proj"),
        ("mlp.c_fc", "ff.layers.0"),
        ("mlp.c_proj", "ff.layers.2"),
    ],
)
def test_weights_of_linear_layers_are_transposed(loaded, weights, published, ours):
    layer = loaded.trf_blocks[1].get_submodule(ours)
    assert torch.equal(layer.weight, weights[f"h.1.{published}.weight"].T)


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ("wte.weight", "tok_emb.weight"),
        ("wpe.weight", "pos_emb.weight"),
        ("h.0.ln_1.weight", "trf_blocks.0.norm1.scale"),
        ("h.0.ln_1.bias", "trf_blocks.0.norm1.shift"),
        ("h.1.ln_2.weight", "trf_blocks.1.norm2.scale"),
        ("h.1.ln_2.bias", "trf_blocks.1.norm2.shift"),
        ("h.1.attn.c_proj.bias", "trf_blocks.1.att.out_proj.bias"),
        ("h.1.mlp.c_fc.bias", "trf_blocks.1.ff.layers.0.bias"),
        ("h.1.mlp.c_proj.bias", "trf_blocks.1.ff.layers.2.bias"),
        ("ln_f.weight", "final_norm.scale"),
        ("ln_f.bias", "final_norm.shift"),
    ],
)
def test_all_else_is_as_published(loaded, weights, published, ours):
    assert torch.equal(loaded.get_parameter(ours), weights[published])


def test_every_parameter_of_ours_comes_from_the_file():
    model = GPTModel.from_config(SIZE)
    parts = [part for parts in places(model).values() for part in parts]
    assert sorted(part.data_ptr() for part in parts) == sorted(
        parameter.data_ptr() for parameter in model.parameters()
    )


def test_a_folder_stands_for_its_model_safetensors(path, loaded):
    assert equal(load_gpt2_weights(str(path.parent)), loaded)


def test_a_file_may_have_any_name(path, loaded):
    other = path.rename(path.with_name("gpt2"))
    try:
        assert equal(load_gpt2_weights(other), loaded)
    finally:
        other.rename(path)


def test_names_may_begin_with_transformer(weights, write, loaded):
    prefixed = {f"transformer.{name}": tensor for name, tensor in weights.items()}
    assert equal(load_gpt2_weights(write(prefixed)), loaded)


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_mask_buffers_are_ignored(weights, write, loaded, prefix):
    masked = {f"{prefix}{name}": tensor for name, tensor in weights.items()}
    for n in range(SIZE.num_layers):
        mask = torch.ones(1, 1, 32, 32, dtype=torch.uint8).tril()
        masked[f"{prefix}h.{n}.attn.bias"] = mask
        masked[f"{prefix}h.{n}.attn.masked_bias"] = torch.tensor(-1e4)
    assert equal(load_gpt2_weights(write(masked)), loaded)


# The output head


def test_a_tied_head_becomes_a_copy_of_the_token_embedding(loaded):
    assert torch.equal(loaded.out_head.weight, loaded.tok_emb.weight)


def test_the_head_is_trained_apart_from_the_embedding(path, loaded):
    model = load_gpt2_weights(path)
    model.out_head.weight.grad = torch.ones_like(model.out_head.weight)
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    assert torch.equal(model.tok_emb.weight, loaded.tok_emb.weight)
    assert torch.equal(model.out_head.weight, loaded.out_head.weight - 1)


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_a_head_of_its_own_is_used(weights, write, prefix):
    head = torch.randn(SIZE.vocabulary_size, C)
    tensors = {f"{prefix}{name}": tensor for name, tensor in weights.items()}
    model = load_gpt2_weights(write(tensors | {"lm_head.weight": head}))
    assert torch.equal(model.out_head.weight, head)


# What kind of model it is


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_into_float32(weights, write, dtype):
    halves = {name: tensor.to(dtype) for name, tensor in weights.items()}
    floats = {name: tensor.float() for name, tensor in halves.items()}
    model = load_gpt2_weights(write(halves))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert equal(model, load_gpt2_weights(write(floats)))


def test_the_model_is_in_train_mode_as_a_new_one_is(loaded):
    assert all(module.training for module in loaded.modules())


def test_all_parameters_can_be_trained(path):
    model = load_gpt2_weights(path)
    model(torch.arange(8)[None]).logsumexp(dim=-1).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_the_model_keeps_its_weights_when_the_file_is_gone(weights, write, loaded):
    path = write(weights)
    model = load_gpt2_weights(path)
    path.write_bytes(b"\0" * path.stat().st_size)
    assert equal(model, loaded)


def test_the_model_has_the_size_of_the_file(loaded):
    assert loaded.config == SIZE


def test_dropout_is_as_asked_for(path):
    assert load_gpt2_weights(path, dropout=0.0).config == replace(SIZE, dropout=0.0)


def test_no_random_numbers_are_drawn(path):
    before = torch.get_rng_state()
    load_gpt2_weights(path)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", GPT2_SIZES)
def test_the_published_sizes_are_recognised_by_their_shapes(name):
    size = replace(GPT2_SIZES[name], qkv_bias=True)
    assert config_of(Path("file"), published_shapes(size), dropout=0.1) == size


@pytest.mark.parametrize("name", GPT2_SIZES)
def test_the_published_sizes_have_the_names_and_shapes_that_are_expected(name):
    size = replace(GPT2_SIZES[name], qkv_bias=True)
    head = {"lm_head.weight": (size.vocabulary_size, size.embedding_dim)}
    assert as_the_file_has_it(on_meta(size)) == published_shapes(size) | head


def test_another_size_has_heads_of_64_channels(write):
    size = replace(SIZE, embedding_dim=192, num_layers=1, num_heads=3)
    shapes = published_shapes(size)
    model = load_gpt2_weights(write({n: torch.zeros(s) for n, s in shapes.items()}))
    assert model.config == size


# What is refused


def refused(match, path, error=ValueError, **settings):
    with pytest.raises(error, match=match) as refusal:
        load_gpt2_weights(path, **settings)
    return str(refusal.value)


def test_a_missing_file_is_named_with_where_to_get_it(tmp_path):
    path = tmp_path / "gpt2.safetensors"
    refused(f"^no file {re.escape(str(path))}; {HUB}", path, FileNotFoundError)


def test_a_folder_without_the_file_is_told_which_it_lacks(tmp_path):
    path = tmp_path / "model.safetensors"
    refused(f"^no file {re.escape(str(path))}; {HUB}", tmp_path, FileNotFoundError)


def test_all_four_repositories_are_named(tmp_path):
    message = refused("^no file", tmp_path / "none", FileNotFoundError)
    assert re.findall(r"openai-community/(\S+?),? ", message) == [
        *("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
    ]


def test_a_pickle_is_refused_unread(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(b"")
    refused(f"pytorch_model.bin is a pickle, which can run code.*; {HUB}", path)


@pytest.mark.parametrize(
    "content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"\0" * 100]
)
def test_a_file_of_another_format_is_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    refused(rf"model.safetensors is not safetensors \(.+\); {HUB}", path)


def test_a_file_that_was_cut_short_is_refused(weights, write):
    path = write(weights)
    path.write_bytes(path.read_bytes()[:-1])
    refused(rf"is not safetensors \(.*not fully covered\); {HUB}", path)


@pytest.mark.parametrize("name", ["h.1.ln_2.bias", "ln_f.weight", "h.0.ln_1.weight"])
def test_a_missing_tensor_is_named(weights, write, name):
    path = write({n: tensor for n, tensor in weights.items() if n != name})
    refused(f"is not a GPT-2 as published: it lacks '{name}'; {HUB}", path)


@pytest.mark.parametrize("name", ["wte.weight", "wpe.weight"])
def test_a_missing_embedding_is_named(weights, write, name):
    path = write({n: tensor for n, tensor in weights.items() if n != name})
    refused(f"it lacks the matrix '{name}'; {HUB}", path)


@pytest.mark.parametrize("shape", [(), (97,), (97, C, 1)])
def test_an_embedding_that_is_no_matrix_is_refused(weights, write, shape):
    path = write(weights | {"wte.weight": torch.zeros(shape)})
    refused(f"it lacks the matrix 'wte.weight'; {HUB}", path)


def test_a_file_without_blocks_is_refused(weights, write):
    path = write({n: tensor for n, tensor in weights.items() if n[:2] != "h."})
    refused(f"it lacks 'h.0.attn.c_attn.bias'; {HUB}", path)


def test_a_file_without_a_middle_block_is_refused(weights, write):
    path = write({n.replace("h.1", "h.2"): tensor for n, tensor in weights.items()})
    refused(f"it lacks 'h.1.attn.c_attn.bias'; {HUB}", path)


def test_an_unknown_tensor_is_named(weights, write):
    path = write(weights | {"score.weight": torch.zeros(2, C)})
    refused(f"it holds an unknown 'score.weight'; {HUB}", path)


def test_a_name_with_and_without_prefix_is_refused(weights, write):
    path = write(weights | {"transformer.ln_f.bias": torch.zeros(C)})
    refused(f"it holds 'ln_f.bias' twice; {HUB}", path)


@pytest.mark.parametrize(
    ("name", "found", "expected"),
    [
        ("h.1.attn.c_attn.weight", (3 * C, C), (C, 3 * C)),  # not as Conv1D has it
        ("h.0.mlp.c_fc.bias", (C,), (4 * C,)),
        ("wpe.weight", (32, 64), (32, C)),
        ("lm_head.weight", (96, C), (97, C)),
        ("ln_f.bias", (), (C,)),
    ],
)
def test_a_wrong_shape_is_named_with_the_right_one(
    weights, write, name, found, expected
):
    path = write(weights | {name: torch.zeros(found)})
    fault = f"it holds '{name}' in the shape {found} instead of {expected}"
    refused(f"{re.escape(fault)}; {HUB}", path)


def test_whole_numbers_are_refused(weights, write):
    path = write(weights | {"ln_f.bias": torch.zeros(C, dtype=torch.int8)})
    refused(f"it holds 'ln_f.bias' as I8; {HUB}", path)


def test_channels_that_heads_of_64_do_not_divide_are_refused(write):
    shapes = published_shapes(replace(SIZE, embedding_dim=100))
    path = write({name: torch.zeros(shape) for name, shape in shapes.items()})
    refused(f"it has 100 channels, which heads of 64 do not divide; {HUB}", path)


def test_a_dropout_of_1_is_refused(path):
    refused("^dropout=1.0 must be at least 0 and below 1$", path, dropout=1.0)


# Against transformers


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip(
        "transformers", reason="the comparison needs `pip install transformers`"
    )


@pytest.fixture(scope="module")
def new_peer(transformers):
    """Makes a GPT2LMHeadModel of a size."""

    def new(size, **settings):
        config = transformers.GPT2Config(
            vocab_size=size.vocabulary_size,
            n_positions=size.context_len,
            n_embd=size.embedding_dim,
            n_layer=size.num_layers,
            n_head=size.num_heads,
            bos_token_id=None,
            eos_token_id=None,
            **settings,
        )
        return transformers.GPT2LMHeadModel(config).eval()

    return new


@pytest.fixture(scope="module", params=["tied", "untied"])
def peer(request, new_peer):
    """All its numbers are random, so that a mix-up would show."""
    torch.manual_seed(4)
    peer = new_peer(SIZE, tie_word_embeddings=request.param == "tied")
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.normal_(std=0.2)
        peer.transformer.wpe.weight.mul_(5)  # else it repeats one token
    return peer


@pytest.fixture(scope="module")
def twin(peer, tmp_path_factory):
    """Our model with the peer's weights, from the file that transformers writes."""
    folder = tmp_path_factory.mktemp("peer")
    peer.save_pretrained(folder)
    return load_gpt2_weights(folder).eval()


@torch.no_grad()
def test_logits_equal_those_of_transformers(peer, twin):
    ids = torch.randint(SIZE.vocabulary_size, (3, SIZE.context_len))
    torch.testing.assert_close(twin(ids), peer(ids).logits, atol=1e-4, rtol=0)


@torch.no_grad()
def test_logits_equal_those_of_transformers_from_names_without_prefix(
    new_peer, tmp_path
):
    peer = new_peer(SIZE)
    peer.transformer.save_pretrained(tmp_path)
    ids = torch.randint(SIZE.vocabulary_size, (3, SIZE.context_len))
    ours = load_gpt2_weights(tmp_path).eval()(ids)
    torch.testing.assert_close(ours, peer(ids).logits, atol=1e-4, rtol=0)


def test_cached_greedy_generation_equals_that_of_transformers(peer, twin):
    prompt = torch.randint(SIZE.vocabulary_size, (1, 6))
    ours = generate(twin, prompt, 20, SIZE.context_len, top_k=1)
    theirs = peer.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=20,
        do_sample=False,
        use_cache=True,
    )
    assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("name", GPT2_SIZES)
def test_the_published_sizes_have_transformers_names_and_shapes(new_peer, name):
    size = replace(GPT2_SIZES[name], qkv_bias=True)
    with torch.device("meta"):
        state = new_peer(size).state_dict()
    theirs = {n.removeprefix("transformer."): tuple(t.shape) for n, t in state.items()}
    assert as_the_file_has_it(on_meta(size)) == theirs
