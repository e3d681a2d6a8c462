"""TEACHING.md tells what the lessons and their exercises are."""

import re

import nbformat
import pytest
from execute_notebooks import LESSONS_DIR, lesson_paths, solution_paths

TEXT = (LESSONS_DIR / "TEACHING.md").read_text(encoding="utf-8")
ONE_LINE = " ".join(TEXT.split())


def sections(path):
    """The headings of a lesson that are numbered."""
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    return re.findall(r"^## (\d+\. .+)$", prose, re.MULTILINE)


def plan_of(path):
    """{section: minutes} of a lesson, and the minutes of the whole."""
    entry = re.search(
        rf"- \*\*{path.stem[:2]} .+?\*\*, (\d+) minutes: (.+?)\.(?= -|$| #)", ONE_LINE
    )
    parts = [part.rsplit(" (", 1) for part in entry[2].split("; ")]
    return {name: int(minutes[:-1]) for name, minutes in parts}, int(entry[1])


@pytest.mark.parametrize("path", lesson_paths(), ids=lambda p: p.stem)
def test_the_plan_has_every_section_and_adds_up(path):
    plan, total = plan_of(path)
    assert list(plan) == [*sections(path), "opening and summary"]
    assert sum(plan.values()) == total


@pytest.mark.parametrize("path", solution_paths(), ids=lambda p: p.stem)
def test_the_table_of_points_is_that_of_the_exercises(path):
    graded = [
        (cell.cell_type, cell.metadata.nbgrader.points)
        for cell in nbformat.read(path, as_version=4).cells
        if cell.metadata.get("nbgrader", {}).get("grade")
    ]
    checked = [points for kind, points in graded if kind == "code"]
    by_hand = [points for kind, points in graded if kind == "markdown"]
    row = f"| {path.stem[:2]} | {len(checked)} | {sum(checked)} | {sum(by_hand)} |"
    assert row in TEXT


@pytest.mark.parametrize("path", lesson_paths(), ids=lambda p: p.stem)
def test_a_lesson_has_a_list_of_what_students_get_wrong(path):
    wrong = TEXT.split("## What students get wrong")[1].split("\n## ")[0]
    assert f"**{path.stem[:2]} " in wrong


@pytest.mark.parametrize("path", lesson_paths(), ids=lambda p: p.stem)
def test_a_lesson_asks_to_predict_and_folds_the_answers(path):
    cells = nbformat.read(path, as_version=4).cells
    questions = [i for i, c in enumerate(cells) if c.source.startswith("**Predict.**")]
    assert len(questions) >= 3
    for i in questions:
        assert "<details><summary>Answer</summary>\n\n" in cells[i].source
        assert cells[i + 1].cell_type == "code"


@pytest.mark.parametrize("path", lesson_paths(), ids=lambda p: p.stem)
def test_a_lesson_links_to_its_exercises(path):
    cells = nbformat.read(path, as_version=4).cells
    assert any(f"(exercises/{path.name})" in cell.source for cell in cells)
