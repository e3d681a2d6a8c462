"""Checks of the exercises of lesson 00: how windows are counted and cut.

Those of texts are in `text_streams`, those of batches and of windows within stories in
`window_sets`. The streams hold tokens in random order, none of them twice, so that a
token tells its place, and a target cannot be had by adding 1 to an input.
"""

import torch

from llm_helpers.checks.text_streams import join_documents, streamed_text
from llm_helpers.checks.token_rows import (
    require_int64,
    require_pair,
    whole_numbers,
    window_starts,
)
from llm_helpers.checks.verdict import CheckError, check, require, require_value
from llm_helpers.checks.window_sets import StoryWindows, shuffled_batches

__all__ = [
    "StoryWindows",
    "all_windows",
    "join_documents",
    "num_windows",
    "prediction_tasks",
    "shuffled_batches",
    "streamed_text",
]


@check
def num_windows(answer):
    long = [(33, 8, 8), (32, 8, 8), (60, 8, 3), (62, 8, 3), (64, 8, 10), (9, 8, 2)]
    short = [(8, 8, 8), (8, 8, 3), (3, 8, 4), (1, 12, 3), (0, 5, 2)]
    given = {case: answer(*case) for case in long + short}
    require(None not in given.values(), "the number is None: is a `return` missing?")
    require(
        not any(isinstance(number, float) for number in given.values()),
        "the number of windows should be an int, not a float: divide with `//`",
    )
    by_mistake = {
        "one window too few: there is one for each whole stride, and the one at 0": [
            lambda n, t, s: (n - t - 1) // s,
            lambda n, t, s: (n - t) // s,
        ],
        "the last target is forgotten: a window takes `context_len` + 1 tokens": [
            lambda n, t, s: (n - t) // s + 1
        ],
        "the stride is not looked at: it need not be as long as the context": [
            lambda n, t, s: (n - t - 1) // t + 1,
            lambda n, t, s: (n - 1) // t,
            lambda n, t, s: n // t,
            lambda n, t, s: n - t,
        ],
        "the last windows are not whole: where one begins, `context_len` + 1 tokens "
        "must be left": [lambda n, t, s: n // s, lambda n, t, s: -(-n // s)],
    }
    numbers = [given[case] for case in long]
    for sentence, formulas in by_mistake.items():
        wrong = [[formula(*case) for case in long] for formula in formulas]
        require(numbers not in wrong, sentence)
    for case, number in given.items():
        expected = len(window_starts(*case))
        hint = ": a stream that is too short has no window" if case in short else ""
        require(
            number == expected,
            f"num_windows{case} should be {expected}, not {number}{hint}",
        )


@check
def prediction_tasks(answer):
    window = [5, 3, 5, 9, 1, 7]
    given = list(window)
    tasks = answer(given)
    require(given == window, "`window` is changed: make the contexts from slices of it")
    require(
        isinstance(tasks, (list, tuple)),
        f"a list of tasks should come back, not {type(tasks).__name__}",
    )
    for task in tasks:
        require_pair("a task", task)
    require(len(tasks) > 0, "the list of tasks is empty")
    contexts = [whole_numbers("a context", context) for context, _ in tasks]
    require(
        len({id(context) for context, _ in tasks}) == len(tasks),
        "all contexts are one and the same list, which grew to the end: put a slice or "
        "a copy of it into each pair",
    )
    targets = whole_numbers("the targets", [target for _, target in tasks])
    _require_contexts(contexts, targets)
    for i, task in enumerate(zip(contexts, targets)):
        expected = (window[: i + 1], window[i + 1])
        require(task == expected, f"task {i} should be {expected}, not {task}")


def _require_contexts(contexts, targets):
    require(
        [] not in contexts,
        "a context is empty: the first token is only read, never predicted",
    )
    require(
        not all(c[-1] == t for c, t in zip(contexts, targets)),
        "the targets are not moved by one: each is the last token of its own context, "
        "and the model would only have to repeat it",
    )
    require(
        len(targets) != 4,
        "one task is missing: 6 tokens make 5 tasks, the last token is a target too",
    )
    require(len(targets) == 5, f"6 tokens make 5 tasks, not {len(targets)}")
    require(
        any(len(context) > 1 for context in contexts),
        "each context holds one token: the model may read all tokens before the target",
    )
    require(
        len(contexts[0]) == 1,
        f"the first context holds {len(contexts[0])} tokens: the shortest, of one "
        "token, comes first",
    )


@check
def all_windows(answer):
    cases = [(34, 8, 5), (33, 8, 8), (33, 8, 10), (9, 8, 3), (32, 8, 8), (12, 5, 1)]
    for num_tokens, context_len, stride in cases:
        tokens = torch.randperm(num_tokens) + 100
        given = tokens.clone()
        windows = _windows_of(answer, given, context_len, stride)
        require(torch.equal(given, tokens), "`tokens` is changed: leave it as it is")
        require_pair("what comes back", windows)
        starts = window_starts(num_tokens, context_len, stride)
        case = f"{num_tokens} tokens, T = {context_len}, stride {stride}"
        for name, rows in zip(("inputs", "targets"), windows):
            require_int64(f"the {name}", rows, 2, "(W, T)")
            _require_row_length(name, rows, len(starts), context_len, case)
            _require_num_rows(len(rows), num_tokens, context_len, stride, case)
        _require_values(*windows, tokens, starts, stride, case)


def _windows_of(answer, *arguments):
    try:
        return answer(*arguments)
    except (RuntimeError, ValueError) as error:
        require(
            "equal size" not in str(error) and "of length" not in str(error),
            "the windows are not all of one length: the last ones run into the end of "
            "the stream, where only part of a window, or no last target, is left",
        )
        raise


def _require_row_length(name, rows, num_windows, context_len, case):
    require(
        rows.shape == (num_windows, context_len)
        or rows.shape != (context_len, num_windows),
        f"the {name} lie on their side: each window is a row, (W, T)",
    )
    require(
        rows.shape[1] == context_len,
        f"a row of {name} holds {rows.shape[1]} tokens, not {context_len}: a window of "
        f"T + 1 tokens makes T inputs and T targets ({case})",
    )


def _require_num_rows(count, num_tokens, context_len, stride, case):
    expected = len(window_starts(num_tokens, context_len, stride))
    by_mistake = {
        num_tokens - context_len: "the stride is not looked at: a window begins at "
        "every token",
        len(window_starts(num_tokens, context_len, context_len)): "the stride is not "
        "looked at: the windows begin every `context_len` tokens",
        expected + 1: "there is a window too many: its last target would lie behind "
        "the end of the stream",
        expected - 1: "the last window is missing: the last token of the stream may be "
        "a target",
    }
    if count != expected:
        fault = by_mistake.get(count, f"there are {count} windows, not {expected}")
        raise CheckError(f"{fault} ({case})")


def _require_values(inputs, targets, tokens, starts, stride, case):
    rows = torch.tensor(starts)[:, None] + torch.arange(inputs.shape[1])
    require_value(
        f"the inputs ({case})",
        inputs,
        tokens[rows],
        {
            "inputs and targets are swapped, or the windows begin one token late: the "
            "first input is the first token of the stream": tokens[rows + 1],
        },
    )
    require_value(
        f"the targets ({case})",
        targets,
        tokens[rows + 1],
        {
            "the targets are not moved by one: they equal the inputs": tokens[rows],
            "the targets are moved backwards: they are the tokens before the inputs": (
                tokens[rows - 1]
            ),
            "the targets are moved by a whole stride: the next token is one place on": (
                tokens[(rows + stride) % len(tokens)]
            ),
            "the last target of each window is the window's first token: it should be "
            "the token that follows the inputs in the stream": tokens[rows].roll(-1, 1),
        },
    )
