"""Text from a model: greedy, temperature, top-k and top-p sampling.

Shapes: B = batch, T = tokens, V = vocabulary.
"""

import torch
from torch import nn

from llm_helpers.data import Vocabulary
from llm_helpers.loss import evaluation_mode


def generate_text(
    model: nn.Module,
    start_context: str,
    max_new_tokens: int,
    tokenizer: Vocabulary,
    context_size: int,
    top_k: int | None = None,
    compact_format: bool = False,
    *,
    temperature: float = 1.0,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> str:
    """Continue a text by `max_new_tokens` tokens; returns prompt plus continuation.

    Args:
        start_context: the prompt, at least one token.
        context_size: how many of the latest tokens the model reads; at most its
            context.
        top_k: keep the k likeliest tokens; 1 always takes the likeliest, without
            chance.
        compact_format: put a space for every newline.
        temperature: divides the logits; below 1 sharpens, above 1 flattens.
        top_p: keep the fewest tokens that together reach this probability
            (nucleus sampling, Holtzman et al. 2020).
        generator: a CPU generator to draw from. Without one, a private generator with
            the seed of `torch.manual_seed` is used, so that the global one is left
            alone and the same call gives the same text.

    Raises:
        ValueError: an empty prompt, or a setting outside its range.
    """
    ids = tokenizer.encode_ordinary(start_context)
    if not ids:
        raise ValueError("start_context is empty; give a prompt of at least one token")
    device = next(model.parameters()).device
    ids = generate(
        model,
        torch.tensor([ids], device=device),
        max_new_tokens,
        context_size,
        top_k=top_k,
        temperature=temperature,
        top_p=top_p,
        generator=generator,
    )
    text = tokenizer.decode(ids[0].tolist())
    return text.replace("\n", " ") if compact_format else text


def generate(
    model: nn.Module,
    token_ids: torch.Tensor,
    max_new_tokens: int,
    context_size: int,
    *,
    top_k: int | None = None,
    temperature: float = 1.0,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Append `max_new_tokens` ids to each row: (B, T) -> (B, T + max_new_tokens).

    The settings are those of `generate_text`.
    """
    check_settings(top_k, temperature, top_p, max_new_tokens, context_size)
    if generator is None:
        generator = torch.Generator().manual_seed(torch.initial_seed())
    with evaluation_mode(model), torch.random.fork_rng(devices=[]):
        for _ in range(max_new_tokens):
            logits = model(token_ids[:, -context_size:])[:, -1]  # (B, V)
            if top_k == 1:
                next_ids = logits.argmax(dim=-1, keepdim=True)
            else:
                probas = next_token_probas(
                    logits, top_k=top_k, temperature=temperature, top_p=top_p
                )
                next_ids = torch.multinomial(probas.cpu(), 1, generator=generator)
            token_ids = torch.cat([token_ids, next_ids.to(token_ids.device)], dim=1)
    return token_ids


def next_token_probas(
    logits: torch.Tensor,
    *,
    top_k: int | None = None,
    temperature: float = 1.0,
    top_p: float | None = None,
) -> torch.Tensor:
    """The probabilities that are sampled from: temperature, then top-k, then top-p.

    Args:
        logits: (..., V).

    Returns:
        Probabilities of the same shape, each row with the sum 1; 0 for dropped tokens.
    """
    check_settings(top_k, temperature, top_p)
    # The largest logit becomes 0, so that no small temperature overflows.
    logits = (logits - logits.amax(dim=-1, keepdim=True)) / temperature
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None and top_p < 1:
        logits = keep_top_p(logits, top_p)
    return torch.softmax(logits, dim=-1)


def keep_top_k(logits: torch.Tensor, top_k: int) -> torch.Tensor:
    """Set all but the k largest logits of each row to minus infinity: (..., V)."""
    values, indices = logits.topk(min(top_k, logits.shape[-1]), dim=-1)
    return torch.full_like(logits, -torch.inf).scatter(-1, indices, values)


def keep_top_p(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keep the fewest tokens of each row whose probabilities reach `top_p`: (..., V).

    The likeliest token always stays. The others are set to minus infinity.
    """
    ordered, indices = logits.sort(dim=-1, descending=True)
    probas = torch.softmax(ordered, dim=-1)
    reached_before = probas.cumsum(dim=-1) - probas >= top_p
    ordered = ordered.masked_fill(reached_before, -torch.inf)
    return torch.empty_like(logits).scatter(-1, indices, ordered)


def check_settings(
    top_k: int | None = None,
    temperature: float = 1.0,
    top_p: float | None = None,
    max_new_tokens: int = 0,
    context_size: int = 1,
) -> None:
    """Raise ValueError if a setting of `generate_text` cannot work."""
    if max_new_tokens < 0 or context_size < 1:
        raise ValueError(
            f"max_new_tokens={max_new_tokens} must be at least 0 and "
            f"context_size={context_size} at least 1"
        )
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k={top_k} must be at least 1, or None for all tokens")
    if not temperature > 0:
        raise ValueError(
            f"temperature={temperature} must be above 0; "
            "for the likeliest token at every step use top_k=1"
        )
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p} must be above 0 and at most 1, or None")
