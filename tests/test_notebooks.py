"""What every lesson, and the solutions of its exercises, keep to; nothing is run."""

import re
import statistics

import nbformat
import pytest
from execute_notebooks import WIDGET_VIEW, lesson_paths, solution_paths

LESSONS = lesson_paths()
SOLUTIONS = solution_paths()
# What each cell shows whose output nbval does not compare: runs with a high learning
# rate or dropout, or very many draws, whose last digits differ between kinds of
# processors; and timings.
UNCOMPARED = {
    "04_overfitting": [
        "the losses of the run on few windows",
        "both runs' losses and floors",
        "best and last checkpoint",
        "the best checkpoint on the test set",
        "what the first run copies, over training",
        "what the second run copies",
    ],
    "05_what_helps": [
        "the losses of the run without help",
        "early stopping",
        "its best checkpoint",
        "dropout",
        "weight decay and a smaller model",
        "more text",
        "the ranking",
        "the losses by width",
    ],
    "06_text_generation": [
        "variety and faultless texts by setting",
        "the cache's speed-up",
        "throughput by batch size",
    ],
    "07_scaling_up": [
        "the ceiling",
        "the time of a step at the ceiling",
        "the most expensive operations",
        "the ladder",
        "the gain of bfloat16",
        "the price of dropout",
        "what decay gains",
    ],
}


def uncompared(path):
    """What the notebook's uncompared cells show; solutions have none."""
    return UNCOMPARED.get(path.stem, []) if path in LESSONS else []


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [c for c in read(path).cells if c.cell_type == "code"]


def prose(path):
    return "\n".join(c.source for c in read(path).cells if c.cell_type == "markdown")


def output_text(cell):
    parts = []
    for output in cell.outputs:
        parts.append(output.get("text", ""))
        parts.append(output.get("data", {}).get("text/plain", ""))
    return "\n".join(parts)


def by_lesson(test):
    return pytest.mark.parametrize("path", LESSONS, ids=lambda p: p.stem)(test)


def by_notebook(test):
    """For every lesson and the solutions of every lesson."""
    both = [pytest.param(path, id=path.stem) for path in LESSONS]
    both += [pytest.param(path, id=f"solutions-{path.stem}") for path in SOLUTIONS]
    return pytest.mark.parametrize("path", both)(test)


def test_the_lessons_are_there_each_with_solutions():
    assert [path.stem[:2] for path in LESSONS] == [f"{i:02}" for i in range(8)]
    assert [path.name for path in SOLUTIONS] == [path.name for path in LESSONS]


@by_notebook
def test_every_code_cell_was_executed_once_in_order(path):
    counts = [cell.execution_count for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@by_notebook
def test_nothing_is_printed_to_stderr_and_nothing_failed(path):
    kinds = [
        (o.output_type, o.get("name")) for c in code_cells(path) for o in c.outputs
    ]
    assert ("stream", "stderr") not in kinds
    assert not [kind for kind, _ in kinds if kind == "error"]


@by_notebook
def test_no_machine_path_and_no_widget_state_is_stored(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|tmp|work|Users)/", text)
    assert WIDGET_VIEW not in text
    assert "widgets" not in read(path).metadata


@by_notebook
def test_no_cell_escapes_comparison_unless_it_is_listed(path):
    tagged = [
        cell.source
        for cell in code_cells(path)
        if any(tag.startswith("nbval-") for tag in cell.metadata.get("tags", []))
        or "NBVAL" in cell.source
    ]
    assert len(tagged) == len(uncompared(path))


@by_notebook
def test_a_lesson_says_why_cells_escape_comparison(path):
    assert ("nbval-ignore-output" in prose(path)) == bool(uncompared(path))


@by_notebook
def test_code_cells_are_short(path):
    lengths = [len(cell.source.splitlines()) for cell in code_cells(path)]
    assert max(lengths) <= 30
    assert statistics.median(lengths) <= 8


@by_notebook
def test_outputs_are_short(path):
    assert max(len(output_text(c).splitlines()) for c in code_cells(path)) <= 45


@by_lesson
def test_a_lesson_has_its_parts_in_order(path):
    parts = ["# ", "**You will be able to**", "**Needs**", "**Takes**"]
    parts += ["## 1. ", "Check yourself", "## Summary", "## Exercises"]
    positions = [prose(path).find(part) for part in parts]
    assert -1 not in positions
    assert positions == sorted(positions)


@by_lesson
def test_check_yourself_asserts(path):
    assert sum("assert " in cell.source for cell in code_cells(path)) >= 3


@by_notebook
def test_numbers_in_prose_are_printed_or_used_by_a_cell(path):
    """Every number of three or more digits; links, code, years and names like SHA-256
    aside."""
    numbers = re.compile(r"\d[\d,]*(?:\.\d+)?")
    aside = r"\[[^]]*\]\([^)]*\)|`[^`]*`|\$[^$]*\$|[A-Z]+-\d+"
    text = re.sub(aside, " ", prose(path))
    cells = "\n".join(c.source + "\n" + output_text(c) for c in code_cells(path))
    known = {n.replace(",", "").rstrip(".") for n in numbers.findall(cells)}
    quoted = {n.replace(",", "").rstrip(".") for n in numbers.findall(text)}
    long = {n for n in quoted if len(n.replace(".", "")) >= 3}
    assert sorted(n for n in long - known if not re.fullmatch(r"(19|20)\d\d", n)) == []


def glossary():
    """(term, Chinese, lesson number) of every row."""
    text = (LESSONS[0].parent / "GLOSSARY.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.count("|") == 5]
    return [
        (r[0].strip(), r[1].strip(), r[3].strip())
        for r in rows
        if r[3].strip()[0] == "0"
    ]


@pytest.mark.parametrize(("term", "chinese", "lesson"), glossary())
def test_a_key_term_has_its_chinese_where_it_is_introduced(term, chinese, lesson):
    path = next(p for p in LESSONS if p.stem.startswith(lesson))
    assert chinese in prose(path)
