"""Wrong answers to the exercises, and right ones written in another way."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """A wrong answer: the solution of an exercise with `old` replaced by `new`."""

    exercise: str  # the name of the function, which is also that of its check
    old: str | None  # a part of the solution cell; None for the whole cell
    new: str
    says: str  # part of the sentence that must name the mistake


@dataclass(frozen=True)
class Variant:
    """A right answer that differs from the solution and must pass too."""

    exercise: str
    old: str | None
    new: str
