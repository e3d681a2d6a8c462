"""Check of the exercise of lesson 06 that writes attention with a KV cache.

Shapes: B = batch, T = tokens, C = channels, H = heads, D = C / H.
"""

import math

import torch

from llm_helpers.checks.verdict import check, require, require_value
from llm_helpers.model import MultiHeadAttention


@check
def cached_attention(answer):
    """Against the module's own attention over the whole sequence at once."""
    attention = _attention()
    x = torch.randn(2, 9, 12)
    for chunks in ((1,) * 5, (4, 1, 3, 1), (9,)):
        part = x[:, : sum(chunks)]
        out, num_computed = _outputs(answer, attention, part, chunks)
        _require_outputs(out, attention, part, chunks)
        require(
            num_computed <= part.shape[1],
            f"{num_computed} keys or values are computed for {part.shape[1]} tokens: "
            "keep those of the old tokens, and compute the new tokens' alone",
        )
        if chunks == (1,) * 5:
            _require_caches_of_their_own(answer, attention, x)


def _attention():
    """Three heads, with weights so large that attention is far from uniform."""
    attention = MultiHeadAttention(12, 3, 0.0).eval()
    with torch.no_grad():
        for project in (attention.W_query, attention.W_key):
            project.weight.mul_(4)
    return attention


def _outputs(answer, attention, x, chunks):
    """The answer's outputs for a sequence that comes in chunks, joined.

    And for how many tokens it computed keys, or values, whichever are more.
    """
    counts = {"W_key": 0, "W_value": 0}
    hooks = [
        getattr(attention, name).register_forward_hook(_counter(counts, name))
        for name in counts
    ]
    hooks.append(attention.register_forward_hook(_refuse))
    cache, outputs = {}, []
    try:
        with torch.no_grad():
            for part in x.split(chunks, dim=1):
                given = part.clone()
                out = answer(attention, given, cache)
                require(torch.equal(given, part), "`x` itself is changed: only read it")
                _require_shape(out, part, sum(o.shape[1] for o in outputs))
                outputs.append(out)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(outputs, dim=1), max(counts.values())


def _counter(counts, name):
    def count(module, inputs, output):
        counts[name] += inputs[0].numel() // (2 * 12)  # of B texts with C channels

    return count


def _refuse(*_):
    require(False, "`attention` itself is called: write out what it does, with a cache")


def _require_shape(out, part, num_before):
    require(
        isinstance(out, torch.Tensor),
        f"a tensor should come back, not {type(out).__name__}: is a `return` missing?",
    )
    require(
        out.dim() != 3 or num_before == 0 or out.shape[1] != num_before + part.shape[1],
        "rows for all tokens come back: only the new tokens have queries",
    )
    require(
        out.shape == part.shape,
        f"for {part.shape[1]} new tokens the output should have the shape "
        f"{tuple(part.shape)}, not {tuple(out.shape)}",
    )


def _require_outputs(out, attention, x, chunks):
    with torch.no_grad():
        wrong = {
            sentence: _attend(attention, x, chunks, **flags)
            for sentence, flags in _WRONG_ATTENTION.items()
        }
        right = attention(x)
    require_value(
        f"the output for tokens that come in chunks of {list(chunks)}",
        out,
        right,
        wrong,
        tolerance=1e-4,
    )


_WRONG_ATTENTION = {
    "old tokens are not seen: put the new keys and values into `cache`, behind those "
    "that it holds": {"past": "none"},
    "only the tokens of the call before are seen: append to the cache, do not replace "
    "what it holds": {"past": "latest"},
    "only the tokens of the first call are seen: put the joined keys and values back "
    "into `cache`": {"past": "first"},
    "the new keys and values stand before the old: append them at the end, so that the "
    "mask fits": {"past": "turned"},
    "keys and values are in different order: append both at the end": {"past": "mixed"},
    "the scores are not scaled: divide by the square root of a head's dimension": {
        "scale": lambda width, head: 1
    },
    "the scores are scaled by the square root of C: the products are as long as one "
    "head, C / H": {"scale": lambda width, head: math.sqrt(width)},
    "the scores are divided by the head's dimension: take its square root": {
        "scale": lambda width, head: head
    },
    "there is no mask: of several new tokens the first must not see the later ones": {
        "mask": "none"
    },
    "the mask begins at the first key: the new tokens stand at the end, so the first "
    "of them sees all old keys too": {"mask": "top left"},
    "the mask lets no token see itself: the diagonal belongs to what it may see": {
        "mask": "strict"
    },
    "masked scores are 0: exp(0) is 1, so give them minus infinity": {"mask": "zeros"},
    "the softmax is over the queries: it goes over the keys, the last axis": {
        "softmax_axis": -2
    },
    "the heads are cut from the wrong axis: view (B, T, H, D), then transpose": {
        "split": False
    },
    "the heads are joined in the wrong order: transpose back to (B, T, H, D) first": {
        "join": False
    },
    "the last projection is missing: `attention.out_proj`": {"project": False},
    "keys are used as values: each token has both": {"values_from": "W_key"},
}
"""Each sentence with what is different about the attention that makes the mistake."""


def _attend(
    attention,
    x,
    chunks,
    past="all",
    scale=lambda width, head: math.sqrt(head),
    mask="right",
    softmax_axis=-1,
    split=True,
    join=True,
    project=True,
    values_from="W_value",
):
    """What `cached_attention` should return, or returns with one of the mistakes."""
    B, _, C = x.shape
    H = attention.num_heads
    seen_before, outputs = None, []
    for part in x.split(chunks, dim=1):
        T = part.shape[1]
        queries, *new = (
            y.view(B, T, H, -1).transpose(1, 2) if split else y.view(B, H, T, -1)
            for name in ("W_query", "W_key", values_from)
            for y in [getattr(attention, name)(part)]
        )
        keys, values = _joined(seen_before, new, past)
        if past == "latest" or seen_before is None:
            seen_before = new
        elif past != "first":
            seen_before = [keys, values]
        scores = queries @ keys.transpose(2, 3) / scale(C, queries.shape[-1])
        weights = torch.softmax(_masked(scores, mask), dim=softmax_axis)
        mixed = weights @ values
        mixed = (mixed.transpose(1, 2) if join else mixed).reshape(B, T, C)
        outputs.append(attention.out_proj(mixed) if project else mixed)
    return torch.cat(outputs, dim=1)


def _joined(old, new, past):
    """Keys and values of the old tokens and the new, as the kind of past has them."""
    if old is None or past == "none":
        return new
    pairs = list(zip(old, new))
    if past == "turned":
        pairs = [pair[::-1] for pair in pairs]
    if past == "mixed":
        pairs[0] = pairs[0][::-1]
    return [torch.cat(pair, dim=2) for pair in pairs]


def _masked(scores, kind):
    T, seen = scores.shape[-2:]
    if kind == "none":
        return scores
    diagonal = {"top left": 0, "strict": seen - T - 1}.get(kind, seen - T)
    may_see = torch.ones(T, seen, dtype=torch.bool).tril(diagonal)
    return scores.masked_fill(~may_see, 0.0 if kind == "zeros" else -torch.inf)


def _require_caches_of_their_own(answer, attention, x):
    """Two texts that take turns, each with a cache; neither sees the other."""
    caches, outputs = ({}, {}), ([], [])
    texts = x[:, :4], x[:, 4:8]
    with torch.no_grad():
        for t in range(4):
            for text, cache, out in zip(texts, caches, outputs):
                out.append(answer(attention, text[:, t : t + 1], cache))
        for text, out in zip(texts, outputs):
            require(
                torch.allclose(torch.cat(out, dim=1), attention(text), atol=1e-4),
                "a text sees what another has read: keep keys and values in the "
                "`cache` that is handed over, and nowhere else",
            )
    require(
        all(caches),
        "the cache that is handed over stays empty: keep keys and values in it, since "
        "each text has its own",
    )
