"""GPT-2 and its training step written the plain way, as courses write it.

The yardstick of the speed benchmarks: attention as matrix product, mask, softmax,
dropout and matrix product; layer norm and GELU spelled out; AdamW as PyTorch makes it
by default. It computes what `llm_helpers.GPTModel` computes.
"""

import math

import torch
from torch import nn


class PlainLayerNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x):
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = centred.pow(2).mean(dim=-1, keepdim=True)
        return self.scale * centred / torch.sqrt(variance + 1e-5) + self.shift


class PlainGELU(nn.Module):
    def forward(self, x):
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * torch.pow(x, 3))
        return 0.5 * x * (1 + torch.tanh(inner))


class PlainAttention(nn.Module):
    def __init__(self, width, num_heads, context_len, dropout):
        super().__init__()
        self.num_heads = num_heads
        self.W_query = nn.Linear(width, width, bias=False)
        self.W_key = nn.Linear(width, width, bias=False)
        self.W_value = nn.Linear(width, width, bias=False)
        self.out_proj = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        future = torch.ones(context_len, context_len).triu(diagonal=1).bool()
        self.register_buffer("mask", future)

    def heads(self, x):
        B, T, C = x.shape
        return x.view(B, T, self.num_heads, C // self.num_heads).transpose(1, 2)

    def forward(self, x):
        B, T, C = x.shape
        queries = self.heads(self.W_query(x))
        keys = self.heads(self.W_key(x))
        values = self.heads(self.W_value(x))
        scores = queries @ keys.transpose(2, 3)
        scores.masked_fill_(self.mask[:T, :T], -torch.inf)
        weights = torch.softmax(scores / math.sqrt(keys.shape[-1]), dim=-1)
        context = (self.dropout(weights) @ values).transpose(1, 2)
        return self.out_proj(context.contiguous().view(B, T, C))


class PlainBlock(nn.Module):
    def __init__(self, width, num_heads, context_len, dropout):
        super().__init__()
        self.att = PlainAttention(width, num_heads, context_len, dropout)
        self.ff = nn.Sequential(
            nn.Linear(width, 4 * width), PlainGELU(), nn.Linear(4 * width, width)
        )
        self.norm1 = PlainLayerNorm(width)
        self.norm2 = PlainLayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = x + self.dropout(self.att(self.norm1(x)))
        return x + self.dropout(self.ff(self.norm2(x)))


class PlainGPT(nn.Module):
    """Token ids (B, T) -> logits (B, T, V)."""

    def __init__(self, config):
        super().__init__()
        width, context_len = config.embedding_dim, config.context_len
        self.tok_emb = nn.Embedding(config.vocabulary_size, width)
        self.pos_emb = nn.Embedding(context_len, width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.Sequential(
            *(
                PlainBlock(width, config.num_heads, context_len, config.dropout)
                for _ in range(config.num_layers)
            )
        )
        self.final_norm = PlainLayerNorm(width)
        self.out_head = nn.Linear(width, config.vocabulary_size, bias=False)

    def forward(self, token_ids):
        positions = torch.arange(token_ids.shape[1], device=token_ids.device)
        x = self.dropout(self.tok_emb(token_ids) + self.pos_emb(positions))
        return self.out_head(self.final_norm(self.blocks(x)))
