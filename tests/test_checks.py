"""The exercises: stubs fail, solutions pass, and each planted mistake is named.

The cells of the committed notebooks are run as they stand: set-up, answers, checks. Of
a solutions notebook only the code before the first answer and the answers themselves
are executed; what else it shows is nbval's to compare.
"""

import importlib
import re

import nbformat
import pytest
import torch
from execute_notebooks import EXERCISES_DIR, solution_paths
from mistakes import Mistake

from llm_helpers.checks import CheckError

STEMS = [path.stem for path in solution_paths()]
SOLUTION_REGION = re.compile(r"^ *### (BEGIN|END) SOLUTION\n?", re.MULTILINE)


class Answers:
    """A notebook's answers and checks, by the name of the exercise."""

    def __init__(self, path):
        cells = nbformat.read(path, as_version=4).cells
        self.cells = [cell for cell in cells if cell.cell_type == "code"]
        graded = {
            cell.metadata.nbgrader.grade_id: cell.source
            for cell in self.cells
            if "nbgrader" in cell.metadata
        }
        self.checks = {
            name.removeprefix("check_"): source
            for name, source in graded.items()
            if name.startswith("check_")
        }
        self.sources = {
            name: SOLUTION_REGION.sub("", source)
            for name, source in graded.items()
            if not name.startswith("check_")
        }

    def namespace(self):
        """The names that the set-up cells and all answers leave."""
        names = {}
        for cell in self.cells:
            if "nbgrader" in cell.metadata:
                break
            exec(cell.source, names)
        for source in self.sources.values():
            exec(source, names)
        torch.set_num_threads(1)  # as for all tests; `set_up` takes more
        return names

    def verdict(self, names, exercise, source):
        """Run the check on an answer; returns its sentence, or None if it passes."""
        names = dict(names)
        exec(source, names)
        try:
            exec(self.checks[exercise], names)
        except CheckError as error:
            return str(error)
        return None

    def changed(self, change):
        source = self.sources[change.exercise]
        if change.old is None:
            return change.new
        assert source.count(change.old) == 1, f"not once in the solution: {change.old}"
        return source.replace(change.old, change.new)


_SOLVED = {}


def solved(stem):
    """(answers, names) of a solutions notebook, read once."""
    if stem not in _SOLVED:
        path = next(path for path in solution_paths() if path.stem == stem)
        answers = Answers(path)
        _SOLVED[stem] = answers, answers.namespace()
    return _SOLVED[stem]


def planted(kind):
    """(stem, change) of every planted mistake, or of every other right answer."""
    return [
        pytest.param(stem, change, id=f"{stem[:2]}-{label(change)}")
        for stem in STEMS
        for change in getattr(wrong_answers(stem), kind)
    ]


def wrong_answers(stem):
    return importlib.import_module(f"mistakes.{stem[3:]}")


def label(change):
    words = change.says if isinstance(change, Mistake) else change.new
    return f"{change.exercise}: {' '.join(words.split())[:50]}"


def exercises():
    return [
        pytest.param(path.stem, name, id=f"{path.stem[:2]}-{name}")
        for path in solution_paths()
        for name in Answers(path).checks
    ]


@pytest.mark.parametrize(("stem", "exercise"), exercises())
def test_a_stub_fails_its_check_and_is_told_what_to_do(stem, exercise):
    stub = Answers(EXERCISES_DIR / f"{stem}.ipynb").sources[exercise]
    answers, names = solved(stem)
    said = answers.verdict(names, exercise, stub)
    assert said == (
        f"`{exercise}` is not written yet: put your code in place of the line `raise`"
    )


@pytest.mark.parametrize(("stem", "exercise"), exercises())
def test_a_solution_passes(stem, exercise, capsys):
    answers, names = solved(stem)
    assert answers.verdict(names, exercise, answers.sources[exercise]) is None
    assert capsys.readouterr().out == f"{exercise} passes.\n"


@pytest.mark.parametrize(("stem", "mistake"), planted("MISTAKES"))
def test_a_planted_mistake_is_named(stem, mistake):
    answers, names = solved(stem)
    said = answers.verdict(names, mistake.exercise, answers.changed(mistake))
    assert said is not None, "the check passes"
    assert mistake.says in said


@pytest.mark.parametrize(("stem", "variant"), planted("VARIANTS"))
def test_another_right_answer_passes(stem, variant):
    answers, names = solved(stem)
    assert answers.verdict(names, variant.exercise, answers.changed(variant)) is None


@pytest.mark.parametrize("stem", STEMS)
def test_a_lesson_has_five_exercises_and_breaks_something(stem):
    path = next(path for path in solution_paths() if path.stem == stem)
    headings = re.findall(
        r"^## (\d+)\. (.+)$",
        "\n".join(c.source for c in nbformat.read(path, 4).cells),
        re.MULTILINE,
    )
    assert [int(number) for number, _ in headings] == [*range(1, len(headings) + 1)]
    assert len(Answers(path).checks) >= 5
    assert any(title.startswith("Break it") for _, title in headings)


@pytest.mark.parametrize("stem", STEMS)
def test_every_exercise_has_a_planted_mistake(stem):
    answers, _ = solved(stem)
    mistaken = {mistake.exercise for mistake in wrong_answers(stem).MISTAKES}
    assert mistaken == set(answers.checks)
