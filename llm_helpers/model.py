"""GPT-2's decoder (Radford et al. 2019), read from top to bottom.

Learned positions, normalisation before each sub-layer, shortcuts with dropout, an
output head of its own (not tied to the token embedding), PyTorch's default
initialisation.

Shapes: B = batch, T = tokens, C = channels (the embedding), H = heads, V = vocabulary.
A `cache` (`generation.KVCache`) holds what earlier calls read of the same sequences.
"""

from __future__ import annotations

from dataclasses import asdict
from itertools import repeat

import torch
import torch.nn.functional as F
from torch import nn

from llm_helpers.config import GPTConfig, check_heads


class LayerNorm(nn.Module):
    """Normalise each token's channels to mean 0, variance 1; then scale and shift.

    (B, T, C) -> (B, T, C). Ba et al. 2016.
    """

    def __init__(self, embedding_dim: int):
        super().__init__()
        self.eps = 1e-5
        self.scale = nn.Parameter(torch.ones(embedding_dim))
        self.shift = nn.Parameter(torch.zeros(embedding_dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, self.scale.shape, self.scale, self.shift, self.eps)


class GELU(nn.Module):
    """Gaussian error linear unit, in GPT-2's tanh form. Hendrycks & Gimpel 2016."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(x, approximate="tanh")


class Linear(nn.Linear):
    """PyTorch's, but quick for few tokens too: (..., C) -> (..., out).

    A processor's library leaves the product of a large matrix and a few vectors to one
    core, or is slow at it; as a batch of slices of the matrix it runs on all cores.
    In train mode sums stay as PyTorch's are, to the last digit.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        num_slices = self._num_slices(x)
        if num_slices == 1:
            return super().forward(x)
        slices = self.weight.view(num_slices, -1, self.in_features)
        columns = x.reshape(-1, self.in_features).T.expand(num_slices, -1, -1)
        products = (slices @ columns).flatten(0, 1).T.contiguous()  # (tokens, out)
        y = products.reshape(*x.shape[:-1], self.out_features)
        return y if self.bias is None else y + self.bias

    def _num_slices(self, x: torch.Tensor) -> int:
        few = x.numel() <= 16 * self.in_features and self.weight.numel() >= 2**18
        if not few or self.training or x.device.type != "cpu":
            return 1
        counts = range(torch.get_num_threads(), 65)
        return next((n for n in counts if self.out_features % n == 0), 1)


class FeedForward(nn.Module):
    """Two linear layers, four times as wide in between: (B, T, C) -> (B, T, C)."""

    def __init__(self, embedding_dim: int):
        super().__init__()
        self.layers = nn.Sequential(
            Linear(embedding_dim, 4 * embedding_dim),
            GELU(),
            Linear(4 * embedding_dim, embedding_dim),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class MultiHeadAttention(nn.Module):
    """Causal self-attention: each token looks at itself and at what came before.

    (B, T, C) -> (B, T, C). Vaswani et al. 2017.

    Raises:
        ValueError: `embedding_dim` is not divisible by `num_heads`.
    """

    def __init__(
        self, embedding_dim: int, num_heads: int, dropout: float, qkv_bias: bool = False
    ):
        super().__init__()
        check_heads(embedding_dim, num_heads)
        self.num_heads = num_heads
        self.W_query = Linear(embedding_dim, embedding_dim, bias=qkv_bias)
        self.W_key = Linear(embedding_dim, embedding_dim, bias=qkv_bias)
        self.W_value = Linear(embedding_dim, embedding_dim, bias=qkv_bias)
        self.out_proj = Linear(embedding_dim, embedding_dim)
        self.dropout = dropout
        self.register_load_state_dict_pre_hook(_drop_mask)

    def forward(self, x: torch.Tensor, cache=None) -> torch.Tensor:
        B, T, C = x.shape
        queries, keys, values = (
            project(x).view(B, T, self.num_heads, C // self.num_heads).transpose(1, 2)
            for project in (self.W_query, self.W_key, self.W_value)
        )  # each (B, H, T, C / H)
        if cache is not None:
            keys, values = cache.append(keys, values)  # the tokens before come first
        dropout = self.dropout if self.training else 0.0  # PyTorch's ignores eval mode
        context = causal_attention(queries, keys, values, dropout)
        return self.out_proj(context.transpose(1, 2).reshape(B, T, C))


def causal_attention(queries, keys, values, dropout: float = 0.0) -> torch.Tensor:
    """Each query's mean of the values up to its own token, weighted by softmax.

    Queries are (B, H, T, C / H); keys and values may have more tokens before them. With
    dropout, processors have no fused kernel, and PyTorch works out the masked half too:
    long sequences go in blocks of queries, each with the keys that it may see.
    """
    T, seen = queries.shape[2], keys.shape[2]
    if dropout and T > _BLOCK and queries.device.type == "cpu":
        ends = range(seen - T + _BLOCK, seen + _BLOCK, _BLOCK)
        blocks = [
            causal_attention(q, keys[:, :, :end], values[:, :, :end], dropout)
            for q, end in zip(queries.split(_BLOCK, dim=2), ends)
        ]
        return torch.cat(blocks, dim=2)
    mask = None
    if 1 < T < seen:  # one query sees all; without a past, `is_causal` does
        mask = torch.ones(T, seen, dtype=torch.bool, device=keys.device)
        mask = mask.tril(seen - T)
    return F.scaled_dot_product_attention(
        queries, keys, values, mask, dropout_p=dropout, is_causal=seen == T
    )


_BLOCK = 128  # queries; half and twice as many took as long


def _drop_mask(module, state_dict, prefix, *_) -> None:
    """Checkpoints of the series carry the causal mask as a buffer; ours needs none."""
    state_dict.pop(prefix + "mask", None)


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, each normalised before and added to its input."""

    def __init__(
        self, embedding_dim: int, num_heads: int, dropout: float, qkv_bias: bool = False
    ):
        super().__init__()
        self.att = MultiHeadAttention(embedding_dim, num_heads, dropout, qkv_bias)
        self.ff = FeedForward(embedding_dim)
        self.norm1 = LayerNorm(embedding_dim)
        self.norm2 = LayerNorm(embedding_dim)
        self.drop_shortcut = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, cache=None) -> torch.Tensor:
        x = x + self.drop_shortcut(self.att(self.norm1(x), cache))
        x = x + self.drop_shortcut(self.ff(self.norm2(x)))
        return x


class GPTModel(nn.Module):
    """Token ids (B, T), int64 -> logits (B, T, V): a score for each next token.

    The arguments are `GPTConfig`'s fields, in its order. With `caches`, one for each
    block, `token_ids` are the next tokens of the sequences that the caches hold.

    Raises:
        ValueError: a size that cannot be; in `forward`, a sequence longer than the
            context or a token id outside the vocabulary.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_layers: int,
        num_heads: int,
        context_len: int,
        vocabulary_size: int,
        dropout: float,
        qkv_bias: bool,
    ):
        super().__init__()
        self.config = GPTConfig(
            embedding_dim=embedding_dim,
            num_layers=num_layers,
            num_heads=num_heads,
            context_len=context_len,
            vocabulary_size=vocabulary_size,
            dropout=dropout,
            qkv_bias=qkv_bias,
        )
        self.tok_emb = nn.Embedding(vocabulary_size, embedding_dim)
        self.pos_emb = nn.Embedding(context_len, embedding_dim)
        self.drop_emb = nn.Dropout(dropout)
        self.trf_blocks = nn.Sequential(
            *(
                TransformerBlock(embedding_dim, num_heads, dropout, qkv_bias)
                for _ in range(num_layers)
            )
        )
        self.final_norm = LayerNorm(embedding_dim)
        self.out_head = Linear(embedding_dim, vocabulary_size, bias=False)

    @classmethod
    def from_config(cls, config: GPTConfig) -> GPTModel:
        return cls(**asdict(config))

    def forward(self, token_ids: torch.Tensor, caches=None) -> torch.Tensor:
        first = caches[0].num_tokens if caches else 0  # position of the first token
        self._check(token_ids, first)
        last = first + token_ids.shape[1]
        positions = torch.arange(first, last, device=token_ids.device)
        x = self.tok_emb(token_ids) + self.pos_emb(positions)  # (B, T, C)
        x = self.drop_emb(x)
        for block, cache in zip(self.trf_blocks, caches or repeat(None)):
            x = block(x, cache)
        x = self.final_norm(x)
        return self.out_head(x)  # (B, T, V)

    def _check(self, token_ids: torch.Tensor, num_cached: int) -> None:
        num_tokens = num_cached + token_ids.shape[1]
        context_len = self.pos_emb.num_embeddings
        if num_tokens > context_len:
            raise ValueError(
                f"a sequence of {num_tokens} tokens is longer than the model's context "
                f"of {context_len}; cut it or build the model with more"
            )
        if token_ids.device.type == "cpu":  # elsewhere the check would wait for the GPU
            check_token_ids(token_ids, self.tok_emb.num_embeddings)


def check_token_ids(token_ids: torch.Tensor, vocabulary_size: int) -> None:
    """Raise ValueError if an id is not one of the vocabulary's."""
    outside = (token_ids < 0) | (token_ids >= vocabulary_size)
    if outside.any():
        raise ValueError(
            f"token id {token_ids[outside][0].item()} is outside the vocabulary of "
            f"{vocabulary_size} tokens; build the model with the tokenizer's n_vocab"
        )
