"""What the checks of lesson 00 ask of pairs, tensors and lists of tokens."""

import torch

from llm_helpers.checks.verdict import CheckError, require


def require_pair(what: str, value: object) -> None:
    """Raise CheckError unless two things came back, as a tuple or a list."""
    require(
        isinstance(value, (tuple, list)) and len(value) == 2,
        f"{what} should be a pair of two things, not {_kind(value)}",
    )


def require_int64(what: str, value: object, num_axes: int, shape: str) -> None:
    """Raise CheckError unless it is a tensor of int64 with so many axes."""
    require(
        isinstance(value, torch.Tensor),
        f"{what} should be a tensor, not {_kind(value)}",
    )
    require(
        value.dtype == torch.int64,
        f"{what} should be int64, not {str(value.dtype).removeprefix('torch.')}: "
        "token ids are whole numbers (and a tensor of an empty list is float32)",
    )
    require(
        value.dim() == num_axes,
        f"{what} should have the shape {shape}, not {tuple(value.shape)}",
    )


def whole_numbers(what: str, row) -> list[int]:
    """A list of ints, from a list, a tuple or a tensor of them; CheckError if not."""
    try:
        return [int(number) for number in row]
    except (TypeError, ValueError):
        raise CheckError(
            f"{what} should be a list of whole numbers, not {row!r}"
        ) from None


def window_starts(num_tokens: int, context_len: int, stride: int) -> list[int]:
    """Where the whole windows of a stream begin, as in the lesson."""
    return list(range(0, num_tokens - context_len, stride))


def _kind(value: object) -> str:
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    return type(value).__name__ if value is not None else "None: is `return` missing?"
