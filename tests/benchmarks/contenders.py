"""The training steps and samplers that the speed benchmarks compare.

Each contender is a model of GPT-2 small's size as its authors publish it, with the
optimizer and the loss that they use.
"""

import torch
from plain_gpt import PlainGPT

from llm_helpers import GPTConfig, GPTModel, calc_loss_batch

# Context 1024, 12 layers, 768 wide; `tests/test_benchmarks.py` uses a smaller one.
SMALL = GPTConfig()
LEARNING_RATE, WEIGHT_DECAY = 6e-4, 0.1


def course_step(config, device):
    model = GPTModel.from_config(config).to(device)
    return model, _step(model, config, device, fused=True)


def plain_step(config, device):
    model = PlainGPT(config).to(device)
    return model, _step(model, config, device)


def llms_from_scratch_step(config, device):
    from llms_from_scratch.ch04 import GPTModel as PublishedGPT

    model = PublishedGPT(_published_config(config)).to(device)
    return model, _step(model, config, device)


def llms_from_scratch_fast_step(config, device):
    from llms_from_scratch.ch04 import GPTModelFast

    model = GPTModelFast(_published_config(config)).to(device)
    return model, _step(model, config, device)


def transformers_step(config, device):
    model = transformers_model(config).to(device).train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )

    def step(inputs, targets):
        optimizer.zero_grad()
        loss = model(input_ids=inputs, labels=inputs).loss  # it moves the labels
        loss.backward()
        optimizer.step()
        return loss.item()

    return model, step


STEPS = {
    "llm_helpers": course_step,
    "plain": plain_step,
    "transformers": transformers_step,
    "llms-from-scratch": llms_from_scratch_step,
    "llms-from-scratch, its fast model": llms_from_scratch_fast_step,
}


def transformers_model(config, **settings):
    from transformers import GPT2Config, GPT2LMHeadModel

    rate = config.dropout
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocabulary_size,
            n_positions=config.context_len,
            n_embd=config.embedding_dim,
            n_layer=config.num_layers,
            n_head=config.num_heads,
            resid_pdrop=rate,
            embd_pdrop=rate,
            attn_pdrop=rate,
            **settings,
        )
    )


def training_flops(config, batch_size: int) -> float:
    """Floating-point operations of one step: forward, and twice as many backward.

    Matrix products alone, with attention over all pairs of positions (half of which
    the causal mask discards). Activations are not computed twice.
    """
    C, T = config.embedding_dim, config.context_len
    weights = config.num_layers * 12 * C * C + C * config.vocabulary_size
    attention = config.num_layers * 2 * T * C
    return 3 * 2 * (weights + attention) * batch_size * T


def _step(model, config, device, **settings):
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, **settings
    )
    model.train()

    def step(inputs, targets):
        optimizer.zero_grad()
        loss = calc_loss_batch(inputs, targets, model, device)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def _published_config(config):
    return {
        "vocab_size": config.vocabulary_size,
        "context_length": config.context_len,
        "emb_dim": config.embedding_dim,
        "n_heads": config.num_heads,
        "n_layers": config.num_layers,
        "drop_rate": config.dropout,
        "qkv_bias": config.qkv_bias,
    }
