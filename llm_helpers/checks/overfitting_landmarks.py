"""Check of the exercise of lesson 04 on the landmarks of a run."""

from llm_helpers.checks.verdict import check, require

LANDMARKS = [  # what, training losses, validation losses, (turn, fallen), mistakes
    (
        "both landmarks are there",
        [3.0, 2.0, 1.5, 0.8, 0.5, 0.6],
        [3.0, 2.0, 0.7, 0.8, 0.85, 0.88],
        (2, 3),
        {
            ("turn", 3): "`turn` and `fallen` have changed places",
            ("turn", 4): "`turn` is the lowest *training* loss: that falls to the end",
            ("turn", 0.7): "`turn` is a loss: return its position in the list",
            ("fallen", 2): "`fallen` looks at the validation losses: memory shows "
            "in the training loss",
            ("fallen", 0.8): "`fallen` is a loss: return its position in the list",
        },
    ),
    (
        "the training loss dips below the floor once before it stays there",
        [2.0, 0.85, 0.95, 0.8, 0.7],
        [2.0, 1.5, 1.4, 1.5, 1.6],
        (2, 3),
        {
            ("fallen", 1): "`fallen` is the first training loss below the floor, and a "
            "later one is above it again: from there on all have to be below"
        },
    ),
    (
        "the training loss is below the floor twice before it stays there",
        [0.8, 0.7, 1.0, 0.8, 0.7],
        [2.0, 1.5, 1.4, 1.5, 1.6],
        (2, 3),
        {
            ("fallen", 0): "`fallen` looks at this loss and the next: to the end *all* "
            "have to be below the floor"
        },
    ),
    (
        "two evaluations share the lowest validation loss",
        [2.0, 1.5, 1.2, 1.0, 0.8],
        [2.0, 1.2, 1.5, 1.2, 1.4],
        (1, 4),
        {("turn", 3): "`turn` is the last of equal lowest losses: take the first"},
    ),
    (
        "the validation loss rises, and later falls lower still",
        [2.0, 1.5, 1.2, 1.0, 0.8],
        [3.0, 2.0, 2.1, 1.5, 1.9],
        (3, 4),
        {
            ("turn", 1): "`turn` is the first place where the loss rises: a noisy loss "
            "rises often, so look for the lowest of all"
        },
    ),
    (
        "the validation loss only falls",
        [2.0, 1.5, 1.2],
        [3.0, 2.0, 1.9],
        (None, None),
        {
            ("turn", 2): "a run whose last loss is its lowest has not turned: `turn` "
            "should be None there",
            ("fallen", 3): "`fallen` points behind the end of the list: it should be "
            "None where the training loss is above the floor",
        },
    ),
    (
        "the validation loss stays at its lowest to the end",
        [2.0, 1.5, 1.2],
        [3.0, 1.0, 1.0],
        (None, None),
        {
            ("turn", 1): "no loss after the lowest is higher than it, so the run has "
            "not turned: `turn` should be None there"
        },
    ),
    (
        "it stays there for a while and then rises",
        [2.0, 1.5, 1.2, 1.1],
        [3.0, 1.0, 1.0, 1.2],
        (1, None),
        {
            ("turn", None): "the loss need not rise at once: a later one is higher, so "
            "the run has turned",
            ("turn", 2): "`turn` is the last of equal lowest losses: take the first",
        },
    ),
    (
        "it rises after its lowest and comes back to it in the end",
        [2.0, 1.5, 1.2, 1.1],
        [3.0, 1.0, 1.3, 1.0],
        (1, None),
        {
            ("turn", None): "a loss after the lowest is higher than it, so the run has "
            "turned, wherever the last one lies"
        },
    ),
    (
        "some training losses equal the floor",
        [2.0, 1.0, 0.9, 0.9, 0.8],
        [2.0, 1.5, 1.4, 1.5, 1.6],
        (2, 4),
        {("fallen", 2): "a training loss equal to the floor is not below it"},
    ),
    (
        "the last training loss is above the floor again",
        [2.0, 0.8, 1.0],
        [2.0, 1.5, 1.6],
        (1, None),
        {
            ("fallen", 1): "`fallen` is the first training loss below the floor, and a "
            "later one is above it again: from there on all have to be below"
        },
    ),
    (
        "both landmarks are at the first evaluation",
        [0.5, 0.4],
        [1.0, 2.0],
        (0, 0),
        {
            ("turn", None): "`turn` may be 0, the first evaluation: that is not None",
            ("fallen", None): "`fallen` may be 0, the first evaluation: that is not "
            "None",
        },
    ),
    ("there is one evaluation", [1.0], [2.0], (None, None), {}),
]


@check
def landmarks(answer):
    """The runs, each with what the common mistakes would return, are in a list."""
    for what, train_losses, val_losses, expected, mistakes in LANDMARKS:
        found = answer(list(train_losses), list(val_losses), 0.9)
        require(
            isinstance(found, tuple | list) and len(found) == 2,
            f"two things should come back, `turn` and `fallen`, not {found!r}",
        )
        for name, value, right in zip(("turn", "fallen"), found, expected):
            for (mistaken, wrong), sentence in mistakes.items():
                is_wrong = mistaken == name and _same(value, wrong)
                require(not is_wrong, sentence)
            require(
                _same(value, right),
                f"`{name}` should be {right}, not {value!r}, where {what} (training "
                f"{train_losses}, validation {val_losses}, floor 0.9)",
            )


def _same(value, other):
    """Equal positions, or both None; 0 and None are not the same."""
    return value is other if value is None or other is None else bool(value == other)
