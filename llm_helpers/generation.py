"""Text from a model: greedy, temperature, top-k and top-p sampling; the KV cache.

Shapes: B = batch, T = tokens, V = vocabulary.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from llm_helpers.data import Vocabulary
from llm_helpers.loss import evaluation_mode
from llm_helpers.model import GPTModel


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


def generate_texts(
    model: nn.Module,
    start_contexts: Sequence[str],
    max_new_tokens: int,
    tokenizer: Vocabulary,
    context_size: int,
    **settings,
) -> list[str]:
    """Continue several texts in one batch, each by `max_new_tokens` tokens.

    The prompts may differ in length: a row is fed its own prompt until that is over.
    With `top_k=1` each text is what `generate_text` gives for it alone.

    Args:
        settings: those of `generate`.

    Raises:
        ValueError: no prompt, an empty prompt, or a setting outside its range.
    """
    prompts = [tokenizer.encode_ordinary(text) for text in start_contexts]
    if not prompts or not all(prompts):
        raise ValueError(
            "start_contexts holds no prompt or an empty one; "
            "give prompts of at least one token each"
        )
    device = next(model.parameters()).device
    rows = [torch.tensor(prompt, device=device) for prompt in prompts]
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
    ids = generate(
        model, padded, max_new_tokens, context_size, lengths=lengths, **settings
    )
    return [
        tokenizer.decode(row[: length + max_new_tokens])
        for row, length in zip(ids.tolist(), lengths.tolist())
    ]


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
    lengths: torch.Tensor | None = None,
    use_cache: bool = True,
) -> torch.Tensor:
    """Append `max_new_tokens` ids to each row: (B, T) -> (B, T + max_new_tokens).

    Up to `context_size` tokens, a `GPTModel` reads each token once and keeps its keys
    and values. Beyond that the window moves on with every token: all positions change,
    and with them all keys and values, so the window is read anew.

    Args:
        lengths: tokens of each row's prompt, (B,), where prompts differ in length and
            `token_ids` is padded on the right; row i ends after
            `lengths[i] + max_new_tokens` tokens, and what follows has no meaning.
        use_cache: False reads the whole window for every token; the ids are the same.

        The others are those of `generate_text`.
    """
    check_settings(top_k, temperature, top_p, max_new_tokens, context_size)
    if generator is None:
        generator = torch.Generator().manual_seed(torch.initial_seed())
    num_given = token_ids.shape[1]
    first = num_given if lengths is None else int(lengths.min())
    ids = F.pad(token_ids, (0, max_new_tokens))
    longest = min(context_size, num_given + max_new_tokens)
    caches = new_caches(model, longest) if use_cache else None
    with evaluation_mode(model), torch.random.fork_rng(devices=[]):
        for t in range(first, num_given + max_new_tokens):
            logits = _next_logits(model, ids[:, :t], context_size, caches)  # (B, V)
            if top_k == 1:
                next_ids = logits.argmax(dim=-1)
            else:
                probas = next_token_probas(
                    logits, top_k=top_k, temperature=temperature, top_p=top_p
                ).cpu()
                next_ids = torch.multinomial(probas, 1, generator=generator)[:, 0]
            next_ids = next_ids.to(ids.device)
            if t < num_given:  # some prompts are not over yet
                next_ids = torch.where(t < lengths, ids[:, t], next_ids)
            ids[:, t] = next_ids
    return ids


def _next_logits(
    model: nn.Module, ids: torch.Tensor, context_size: int, caches: list | None
) -> torch.Tensor:
    """Scores of the token that follows `ids`: (B, T) -> (B, V)."""
    if caches and ids.shape[1] <= context_size:
        return model(ids[:, caches[0].num_tokens :], caches)[:, -1]
    return model(ids[:, -context_size:])[:, -1]


class KVCache:
    """Keys and values that one attention block made of all tokens read so far.

    Args:
        capacity: the most tokens that it will hold; room for them is taken at once,
            so that a new token copies nothing but its own.
    """

    def __init__(self, capacity: int):
        self.capacity = capacity
        self.num_tokens = 0

    def append(
        self, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take in new tokens' (B, H, T, C / H); returns those of all tokens so far."""
        if self.num_tokens == 0:
            B, H, _, D = keys.shape
            self._keys = keys.new_empty(B, H, self.capacity, D)
            self._values = torch.empty_like(self._keys)
        begin, end = self.num_tokens, self.num_tokens + keys.shape[2]
        self._keys[:, :, begin:end] = keys
        self._values[:, :, begin:end] = values
        self.num_tokens = end
        return self._keys[:, :, :end], self._values[:, :, :end]


def new_caches(model: nn.Module, capacity: int) -> list[KVCache] | None:
    """An empty cache for each block of a `GPTModel`; None for any other model."""
    if not isinstance(model, GPTModel):
        return None
    return [KVCache(capacity) for _ in model.trf_blocks]


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
