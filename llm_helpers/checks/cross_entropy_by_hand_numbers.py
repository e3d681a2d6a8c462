"""Checks of the exercises of lesson 01 whose answers are plain numbers."""

import math

from llm_helpers.checks.verdict import CheckError, check, require, require_value
from llm_helpers.tokenizer import load_tokenizer


@check
def overall_perplexity(answer):
    _require_perplexity(answer, [2.0, 3.5, 1.0], [10, 30, 5])
    _require_perplexity(answer, [2.5, 0.5], [4, 4])
    _require_perplexity(answer, [3.0], [7])
    _require_no_overflow(answer, [3.0, 3.2, 8.0], [1000, 1000, 20])
    _require_perplexity(answer, [3.0, 3.2, 8.0], [1000, 1000, 20])


def _require_perplexity(answer, losses, num_tokens):
    given = list(losses), list(num_tokens)
    value = answer(*given)
    require(
        given == (losses, num_tokens),
        "the lists that were given are changed: only read them",
    )
    n = len(losses)
    total = sum(loss * count for loss, count in zip(losses, num_tokens))
    mean = total / sum(num_tokens)
    each = [_exp(loss) for loss in losses]
    weighted = sum(p * count for p, count in zip(each, num_tokens)) / sum(num_tokens)
    require_value(
        f"the perplexity for the losses {losses} of {num_tokens} tokens",
        value,
        _exp(mean),
        {
            "the mean is over texts, not tokens: a short text counts as much as a long "
            "one, so weigh each loss with its number of tokens": (
                _exp(sum(losses) / n)
            ),
            "the perplexities are averaged: take the mean of the losses first, and the "
            "exponential last": sum(each) / n,
            "the perplexities are averaged, even if by tokens: take the mean of the "
            "losses first, and the exponential last": weighted,
            "the loss comes back: the perplexity is its exponential": mean,
            "the mean loss of the texts comes back: weigh it with the tokens, and take "
            "the exponential": sum(losses) / n,
            "this is a power of 2: losses in nats want the exponential": 2**mean,
            "the sign is wrong: the exponential of minus the loss is a probability": (
                _exp(-mean)
            ),
            "the losses are summed up and never divided": _exp(sum(losses)),
            "the total is divided by the number of texts: divide by that of tokens": (
                _exp(total / n)
            ),
            "the perplexities are multiplied with the tokens and never divided": (
                weighted * sum(num_tokens)
            ),
        },
    )


def _exp(nats):
    return math.exp(nats) if nats < 700 else math.inf


def _require_no_overflow(answer, losses, num_tokens):
    """Of long texts too, whose probabilities multiplied are out of a float's reach."""
    sentence = "the product overflows for long texts: add losses instead"
    try:
        value = answer(losses, num_tokens)
    except OverflowError:
        raise CheckError(sentence) from None
    except ZeroDivisionError:
        raise CheckError(
            "the product of probabilities rounds to 0 for long texts: add losses "
            "instead"
        ) from None
    require(math.isfinite(value), sentence)


@check
def bits_per_byte(answer):
    """A text in ASCII, one in Chinese, then a piece that begins within a character."""
    tokenizer = load_tokenizer("gpt2")
    english = tokenizer.encode_ordinary("The lamp was out.")
    chinese = tokenizer.encode_ordinary("雪落在山门上。")
    _require_bits(answer, "an English text", english, tokenizer)
    _require_bits(answer, "a Chinese text", chinese, tokenizer)
    _require_bits(answer, "a piece cut within a character", chinese[1:], tokenizer)


def _require_bits(answer, what, ids, tokenizer):
    loss, given = 3.0, list(ids)
    value = answer(loss, given, tokenizer)
    require(given == ids, "`target_ids` itself is changed: only read it")
    num_bytes = len(tokenizer.decode_bytes(ids))
    text = tokenizer.decode(ids)
    nats, bits = loss * len(ids), loss * len(ids) / math.log(2)
    require_value(
        f"bits per byte of {what}",
        value,
        bits / num_bytes,
        {
            "these are nats per byte: a nat is 1 / ln(2) bits": nats / num_bytes,
            "nats are multiplied by ln(2): a nat is more than a bit, so divide": (
                nats * math.log(2) / num_bytes
            ),
            "these are bits per token: multiply by the number of tokens, and divide by "
            "that of bytes": loss / math.log(2),
            "tokens and bytes are exchanged: a byte is less than a token, and so is "
            "what it costs": loss / math.log(2) * num_bytes / len(ids),
            "the loss is not multiplied by the number of tokens: it is a mean over "
            "them": loss / math.log(2) / num_bytes,
            "these are the bits of the whole piece: divide by its bytes": bits,
            "these are bits per character: a Chinese character has three bytes": (
                bits / len(text)
            ),
            "the bytes are counted in the decoded text, where a character that was cut "
            "has become �: count those of the tokens": bits / len(text.encode()),
            "what is cut is not counted: the bytes of a character's part count too": (
                bits
                / len(tokenizer.decode_bytes(ids).decode("utf-8", "ignore").encode())
            ),
        },
    )


@check
def doubled_softmax_range(answer):
    for size in (130, 2):
        pair = answer(size)
        require(
            hasattr(pair, "__len__") and len(pair) == 2,
            f"two numbers should come back, (lowest, highest), not {pair!r}",
        )
        lowest, highest = pair
        _require_bounds(lowest, highest, size)


def _require_bounds(lowest, highest, size):
    most = math.log(math.e + size - 1)
    at = f"for V = {size}"
    require_value(
        f"the lowest loss {at}",
        lowest,
        most - 1,
        {
            "the two numbers are swapped: first the lowest, then the highest": most,
            "a loss of 0 is out of reach: the other tokens have scores of 0, not minus "
            "infinity, and exp(0) = 1 counts in the sum": 0.0,
            "even probabilities are not the best: give the true token 1": (
                math.log(size)
            ),
            "exp(1) is e, not 1: the true token's own score counts in the sum": (
                math.log(size) - 1
            ),
            "the true token is counted twice: beside it there are V - 1 others": (
                math.log(math.e + size) - 1
            ),
            "the true token is missing in the sum: beside the V - 1 others it adds "
            "exp(1)": math.log(size - 1) - 1,
            "these are bits, not nats: take the natural logarithm": (
                (most - 1) / math.log(2)
            ),
        },
    )
    require_value(
        f"the highest loss {at}",
        highest,
        most,
        {
            "even probabilities are not the worst: give another token 1": (
                math.log(size)
            ),
            "an infinite loss is out of reach: the true token's score is at least 0, "
            "and the others' at most 1": math.inf,
            "the token with probability 1 is counted twice: beside it there are V - 1 "
            "others": math.log(math.e + size),
            "the true token is missing in the sum: its score is 0, and exp(0) = 1": (
                math.log(math.e + size - 2)
            ),
            "each of the others is given 1: together they have 1": (
                math.log(math.e * (size - 1) + 1)
            ),
        },
    )
