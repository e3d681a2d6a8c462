"""Our model against an independent one: GPT-2 of Hugging Face's transformers.

transformers is none of the course's dependencies; the test runs where it is installed.
"""

import sys
from pathlib import Path

import pytest
import torch

from llm_helpers import GPTConfig, GPTModel, calc_loss_batch

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
from contenders import transformers_model

pytest.importorskip(
    "transformers", reason="the comparison needs `pip install transformers`"
)

SMALL = GPTConfig(
    embedding_dim=16,
    num_layers=2,
    num_heads=2,
    context_len=12,
    vocabulary_size=50,
    dropout=0.0,
    qkv_bias=True,
)
MID_SIZE = GPTConfig(
    embedding_dim=192,
    num_layers=6,
    num_heads=6,
    context_len=64,
    vocabulary_size=2000,
    dropout=0.0,
    qkv_bias=True,
)


def peer_of(model):
    """A GPT2LMHeadModel with the weights of ours; its Conv1D layers are transposed."""
    peer = transformers_model(
        model.config, tie_word_embeddings=False, attn_implementation="eager"
    )
    peer.load_state_dict(peer_state(model), strict=True)
    return peer.eval()


def peer_state(model):
    ours = model.state_dict()
    state = {
        "transformer.wte.weight": ours["tok_emb.weight"],
        "transformer.wpe.weight": ours["pos_emb.weight"],
        "transformer.ln_f.weight": ours["final_norm.scale"],
        "transformer.ln_f.bias": ours["final_norm.shift"],
        "lm_head.weight": ours["out_head.weight"],
    }
    for i, block in enumerate(model.trf_blocks):
        att, ff = block.att, block.ff.layers
        projections = (att.W_query, att.W_key, att.W_value)
        state |= {
            f"transformer.h.{i}.{name}": value
            for name, value in {
                "attn.c_attn.weight": torch.cat([p.weight for p in projections]).T,
                "attn.c_attn.bias": torch.cat([p.bias for p in projections]),
                "attn.c_proj.weight": att.out_proj.weight.T,
                "attn.c_proj.bias": att.out_proj.bias,
                "mlp.c_fc.weight": ff[0].weight.T,
                "mlp.c_fc.bias": ff[0].bias,
                "mlp.c_proj.weight": ff[2].weight.T,
                "mlp.c_proj.bias": ff[2].bias,
                "ln_1.weight": block.norm1.scale,
                "ln_1.bias": block.norm1.shift,
                "ln_2.weight": block.norm2.scale,
                "ln_2.bias": block.norm2.shift,
            }.items()
        }
    return state


def with_random_weights(config):
    """Also norms and biases are random, so that a mix-up would show."""
    torch.manual_seed(1)
    model = GPTModel.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("config", [SMALL, MID_SIZE], ids=["small", "mid-size"])
def test_logits_equal_those_of_transformers(config):
    model = with_random_weights(config)
    ids = torch.randint(config.vocabulary_size, (3, config.context_len))
    with torch.no_grad():
        ours, theirs = model(ids), peer_of(model)(ids).logits
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_the_loss_equals_that_of_transformers():
    model = with_random_weights(SMALL)
    ids = torch.randint(SMALL.vocabulary_size, (3, SMALL.context_len))
    with torch.no_grad():
        theirs = peer_of(model)(ids, labels=ids).loss.item()
        ours = calc_loss_batch(ids[:, :-1], ids[:, 1:], model, "cpu").item()
    assert ours == pytest.approx(theirs, abs=1e-5)


def test_gradients_equal_those_of_transformers():
    model = with_random_weights(SMALL)
    peer = peer_of(model)
    ids = torch.randint(SMALL.vocabulary_size, (3, SMALL.context_len))
    for logits in (model(ids), peer(ids).logits):
        logits.logsumexp(dim=-1).sum().backward()
    torch.testing.assert_close(
        model.tok_emb.weight.grad,
        peer.transformer.wte.weight.grad,
        atol=1e-4,
        rtol=1e-4,
    )
