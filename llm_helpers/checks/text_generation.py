"""Checks of the exercises of lesson 06; those of temperature and of the draw.

Those of top-k and top-p are in `text_generation_filters`, that of whole texts in
`text_generation_texts`, that of the loops in them in `text_generation_loops`, and that
of the KV cache in `text_generation_attention`.
"""

import torch

from llm_helpers.checks.text_generation_attention import cached_attention
from llm_helpers.checks.text_generation_filters import (
    answer_to_copy,
    keep_top_k,
    keep_top_p,
)
from llm_helpers.checks.text_generation_loops import find_loop
from llm_helpers.checks.text_generation_texts import continue_text
from llm_helpers.checks.verdict import check, require, require_value

__all__ = [
    "cached_attention",
    "continue_text",
    "draw_next",
    "find_loop",
    "keep_top_k",
    "keep_top_p",
    "tempered_probas",
]

NUM_DRAWS = 6000  # for each of two distributions


@check
def tempered_probas(answer):
    logits = 1.5 * torch.randn(2, 3, 7)
    logits[0, 1, 4] = -torch.inf
    for temperature in (0.5, 2.0, 1.0):
        probas = _probas(answer, logits, temperature)
        plain = torch.softmax(logits, dim=-1)
        power = plain ** (1 / temperature)
        require_value(
            f"the probabilities at temperature {temperature}",
            probas,
            torch.softmax(logits / temperature, dim=-1),
            {
                "the temperature is ignored: divide the *logits* by it, before the "
                "softmax (probabilities that are divided and then brought back to the "
                "sum 1 are what they were)": plain,
                "the probabilities are divided by the temperature: divide the logits, "
                "before the softmax": plain / temperature,
                "the logits are multiplied by the temperature: divide, so that a high "
                "one flattens": torch.softmax(logits * temperature, dim=-1),
                "softmax is taken twice: divide logits, not probabilities": (
                    torch.softmax(plain / temperature, dim=-1)
                ),
                "the powers of the probabilities do not sum to 1 yet: divide them by "
                "their sum": power,
                "logits come back: take the softmax of them": logits / temperature,
                "the softmax is over the wrong axis: the vocabulary is the last": (
                    torch.softmax(logits / temperature, dim=0)
                ),
                "the softmax goes over a whole batch: each row has the sum 1": (
                    torch.softmax((logits / temperature).flatten(), 0).view(2, 3, 7)
                ),
            },
        )
    _require_zero_temperature(answer, logits)
    _require_large_logits(answer)


def _probas(answer, logits, temperature):
    probas = answer_to_copy(answer, logits, temperature)
    require(
        probas is not None,
        f"at temperature {temperature} None comes back: is a `return` missing?",
    )
    require(
        isinstance(probas, torch.Tensor),
        f"at temperature {temperature} a tensor of probabilities should come back, not "
        f"{type(probas).__name__}",
    )
    return probas


def _require_large_logits(answer):
    logits = torch.tensor([[50.0, -50.0, 49.9, 49.8], [-50.0, 50.0, 10.0, 49.75]])
    probas = _probas(answer, logits, 0.1)
    require(
        bool(probas.isfinite().all()),
        "exp overflows at low temperatures: subtract the largest logit first, or use "
        "`softmax`",
    )
    right = torch.softmax(logits / 0.1, dim=-1)
    require_value("the probabilities of large logits", probas, right, {}, 1e-4)


def _require_zero_temperature(answer, logits):
    probas = _probas(answer, logits, 0)
    require(
        not bool(probas.isnan().any()),
        "at temperature 0 there is a NaN: nothing can be divided by 0, so give the "
        "largest logit the probability 1 and the others 0",
    )
    likeliest = logits.argmax(dim=-1, keepdim=True)
    zeros = torch.zeros_like(logits)
    require_value(
        "what comes back at temperature 0",
        probas,
        zeros.scatter(-1, likeliest, 1.0),
        {
            "temperature 0 is taken for 1: it is the limit of low temperatures": (
                torch.softmax(logits, dim=-1)
            ),
            "at temperature 0 all tokens are equally likely: that is the limit of high "
            "temperatures, so take the largest logit": zeros + 1 / 7,
        },
    )
    require(
        probas.is_floating_point(),
        "at temperature 0 whole numbers come back: probabilities are floats",
    )


@check
def draw_next(answer):
    """Exact but for one test: tokens are drawn with their probabilities.

    That is chi-square of 6,000 draws from each of two distributions, with a limit that
    a right answer exceeds less than once in a million seeds, both together (4 degrees
    of freedom each). It is looked at for two temperatures, so a right answer fails less
    than twice in a million seeds.
    """
    row = torch.tensor([1.0, -0.5, 0.25, -torch.inf, 0.75, 0.0])
    logits = torch.stack([row, row.flip(0)])
    _require_ids(answer, logits)
    _require_one_row(answer, logits[:1], 0.5)
    _require_shares(answer, logits, temperature=0.5)
    _require_shares(answer, logits, temperature=1.5)
    _require_the_seed_decides(answer, logits.repeat(20, 1))
    greedy = answer(logits.repeat(50, 1), 0, torch.Generator().manual_seed(4))
    require(
        torch.equal(greedy, logits.argmax(dim=-1).repeat(50)),
        "at temperature 0 other tokens than the likeliest come up: nothing is left to "
        "chance there",
    )
    _require_one_row(answer, logits[:1], 0)


def _require_ids(answer, logits):
    given = logits.clone()
    state = torch.get_rng_state()
    ids = answer(given, 0.5, torch.Generator().manual_seed(1))
    require(
        torch.equal(state, torch.get_rng_state()),
        "the global generator is drawn from: hand the `generator` on",
    )
    require(torch.equal(given, logits), "`logits` itself is changed: only look at it")
    require(
        isinstance(ids, torch.Tensor),
        f"a tensor of token ids should come back, not {type(ids).__name__}",
    )
    require(
        tuple(ids.shape) != (2, 1),
        "the ids have the shape (B, 1), a column: take its entries, (B,)",
    )
    require(
        tuple(ids.shape) == (2,),
        f"from logits of the shape (2, 6) the ids should have the shape (2,), one for "
        f"each row, not {tuple(ids.shape)}",
    )
    require(
        ids.dtype == torch.int64,
        f"the ids should be int64, not {ids.dtype}: they are places in the vocabulary",
    )


def _require_one_row(answer, logits, temperature):
    ids = answer(logits, temperature, torch.Generator().manual_seed(1))
    shape = tuple(getattr(ids, "shape", ()))
    require(
        shape != (),
        "with one row a single number comes back: `squeeze(1)` or `[:, 0]` keeps the "
        "axis",
    )
    require(
        shape == (1,),
        f"from logits of one row the ids should have the shape (1,), not {shape}",
    )


def _require_shares(answer, logits, temperature):
    """Rows of two kinds take turns, each with its own probabilities."""
    generator = torch.Generator().manual_seed(2)
    rows = logits.repeat(NUM_DRAWS, 1)
    ids = answer(rows, temperature, generator).view(NUM_DRAWS, 2)
    likeliest = logits.argmax(dim=-1)
    require(
        not bool((ids == likeliest).all()),
        "always the likeliest token is taken: draw each with its probability",
    )
    require(
        not bool((ids == ids[:1]).all()),
        "all rows of a kind get the same token: each row needs a draw of its own",
    )
    counts = torch.stack([ids[:, i].bincount(minlength=6) for i in range(2)])
    probas = torch.softmax(logits / temperature, dim=-1)
    if _fits(counts, probas):
        return
    plain = torch.softmax(logits, dim=-1)
    possible = torch.isfinite(logits).float() / 5
    for sentence, wrong in {
        "sampling ignores the temperature: divide the logits by it": plain,
        "the logits are multiplied by the temperature: divide by it": (
            torch.softmax(logits * temperature, dim=-1)
        ),
        "tokens are drawn uniformly: draw each with its probability": (
            torch.full_like(logits, 1 / 6)
        ),
        "all tokens that are possible are drawn equally often: draw each with its "
        "probability": possible,
        "softmax is taken twice: draw with the probabilities themselves": (
            torch.softmax(probas, dim=-1)
        ),
        "every row is drawn with the probabilities of the first": probas[[0, 0]],
    }.items():
        require(not _fits(counts, wrong), f"{sentence} (temperature {temperature})")
    expected = [round(x) for x in (probas[0] * NUM_DRAWS).tolist()]
    require(
        False,
        f"at temperature {temperature} the 6 tokens are drawn {counts[0].tolist()} "
        f"times, not some {expected} times, which is no accident",
    )


def _fits(counts, probas):
    """Whether counts, (2, 6), may come from these probabilities; see `draw_next`."""
    expected = probas * NUM_DRAWS
    if bool((counts[expected == 0] > 0).any()):
        return False
    terms = (counts - expected) ** 2 / expected.clamp(min=1e-9)
    return bool((terms.sum(dim=-1) < 35.0).all())


def _require_the_seed_decides(answer, logits):
    def draws(generator):
        return [answer(logits, 1.0, generator).tolist() for _ in range(3)]

    generator = torch.Generator().manual_seed(3)
    first = draws(generator)
    require(
        first[0] != first[1],
        "the next call draws the same tokens again: use `generator` as it is, without "
        "a seed and without a copy, so that its state goes on",
    )
    require(
        first == draws(torch.Generator().manual_seed(3)),
        "the same seed brings other tokens: every draw must come from `generator`",
    )
    require(
        first != draws(torch.Generator().manual_seed(4)),
        "another seed brings the same tokens: draw from the `generator` that is handed "
        "over",
    )
