"""What all checks share: how an answer is tried, and how a verdict is given."""

import functools
import traceback
from collections.abc import Callable

import torch

MOST_SHOWN = 8  # numbers of a tensor that a sentence can hold


class CheckError(AssertionError):
    """An answer is not right; the message is one sentence that names the mistake."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the sentence alone."""
        return [f"\x1b[31mNot yet:\x1b[0m {self}"]


def require(condition: bool, sentence: str) -> None:
    """Raise CheckError with the sentence unless the condition holds."""
    if not condition:
        raise CheckError(sentence)


def check(examine: Callable[[Callable], None]) -> Callable[[Callable], None]:
    """Make a check of a function that tries an answer and calls `require`.

    The check prints `<name> passes.`, or raises CheckError, also where the answer is
    no function, is the package's own, is not written yet, or stops with an error. It
    starts from a fixed seed and leaves the global generator as it was.
    """
    name = examine.__name__

    @functools.wraps(examine)
    def verdict(answer: Callable) -> None:
        _check_is_own_function(name, answer)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                examine(answer)
        except CheckError as failure:
            raise failure.with_traceback(None) from None
        except NotImplementedError as error:
            raise CheckError(_not_written(name, error)) from None
        except Exception as error:
            raise CheckError(_stopped(name, answer, error)) from error
        print(f"{name} passes.")

    return verdict


def _check_is_own_function(name: str, answer: object) -> None:
    require(
        callable(answer),
        f"`{name}` should be a function or a class, not {type(answer).__name__}: give "
        "the check the name alone, without calling it",
    )
    module = getattr(answer, "__module__", None) or ""
    require(
        not module.startswith("llm_helpers"),
        f"`{name}` is the package's own: write one of yours, then check that",
    )


def _not_written(name: str, error: Exception) -> str:
    """Which stub was met: the answer itself, or one that it calls."""
    *_, (frame, _line) = traceback.walk_tb(error.__traceback__)
    stub = frame.f_code.co_qualname.split(".")[0]
    if stub != name and stub.isidentifier():
        return f"`{name}` calls `{stub}`, which is not written yet: write that first"
    return f"`{name}` is not written yet: put your code in place of the line `raise`"


def _stopped(name: str, answer: Callable, error: Exception) -> str:
    """The error's own words, and the line of the answer where it came up."""
    parts = [answer, *getattr(answer, "__dict__", {}).values()]  # a class's methods
    codes = [part.__code__ for part in parts if hasattr(part, "__code__")]
    own_files = {code.co_filename for code in codes}
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename in own_files]
    where = f" at the line `{own[-1].line}`" if own and own[-1].line else ""
    words = str(error).splitlines()[0] if str(error) else "no message"
    return f"`{name}` stops with {type(error).__name__}{where}: {words}"


def call_with_gradients(answer: Callable, *arguments) -> tuple[object, bool]:
    """What an answer returns, and whether it left gradients switched on.

    Afterwards they are as they were before, whatever the answer left.
    """
    with torch.enable_grad():
        return answer(*arguments), torch.is_grad_enabled()


def require_value(
    what: str,
    value: float | torch.Tensor,
    expected: float | torch.Tensor,
    mistakes: dict[str, float | torch.Tensor],
    tolerance: float = 1e-5,
) -> None:
    """Raise CheckError unless the value is the expected one, to a relative tolerance.

    Args:
        what: names the value in the sentence.
        value: the answer, a number or a tensor.
        expected: what is right, of the same shape.
        mistakes: for each sentence the value that this mistake gives; if the answer has
            it, that sentence is raised.
    """
    value, expected = _as_tensor(what, value), torch.as_tensor(expected)
    require(
        value.shape == expected.shape,
        f"{what} should have the shape {tuple(expected.shape)}, not "
        f"{tuple(value.shape)}",
    )
    if _is_close(value, expected, tolerance):
        return
    for sentence, wrong in mistakes.items():
        require(not _is_close(value, torch.as_tensor(wrong), tolerance), sentence)
    raise CheckError(_difference(what, value, expected))


def _difference(what: str, value: torch.Tensor, expected: torch.Tensor) -> str:
    """Both values, or of long tensors the place where they differ most."""
    if expected.numel() > MOST_SHOWN:
        distance = (value.double() - expected.double()).abs().nan_to_num(torch.inf)
        place = tuple(
            i.item() for i in torch.unravel_index(distance.argmax(), distance.shape)
        )
        what, value, expected = (
            f"{what} at {list(place)}",
            value[place],
            expected[place],
        )
    return f"{what} should be {_shown(expected)}, not {_shown(value)}"


def _as_tensor(what: str, value: object) -> torch.Tensor:
    require(value is not None, f"{what} is None: is a `return` missing?")
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise CheckError(f"{what} should be made of numbers, not {value!r}") from None


def _is_close(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> bool:
    if one.shape != other.shape:
        return False
    one, other = one.detach().double(), other.detach().double()
    return torch.allclose(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)


def _shown(value: torch.Tensor) -> str:
    """A number with four digits behind the point, or a list of such."""
    if value.dim() == 0 and value.is_floating_point():
        return f"{value.item():.4f}"
    numbers = value.flatten().tolist()
    return f"{[round(x, 4) for x in numbers] if value.dim() else numbers[0]}"
