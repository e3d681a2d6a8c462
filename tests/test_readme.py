"""The README quotes what was measured, and names what there is."""

import json
import re
from pathlib import Path

import pytest
from execute_notebooks import lesson_paths

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = json.loads(
    (ROOT / "tests" / "benchmarks" / "results.json").read_text(encoding="utf-8")
)


def minutes(seconds):
    return "under 1" if seconds < 60 else str(round(seconds / 60))


@pytest.mark.parametrize("path", lesson_paths(), ids=lambda p: p.stem)
def test_a_lessons_minutes_are_those_measured(path):
    row = next(line for line in README.splitlines() if f"{path.stem}.ipynb)" in line)
    assert row.split("|")[-2].strip() == minutes(RESULTS["lesson_seconds"][path.stem])


@pytest.mark.parametrize("path", lesson_paths(), ids=lambda p: p.stem)
def test_a_lesson_keeps_to_three_minutes_and_the_overfitting_ones_to_four(path):
    limit = 240 if path.stem[:2] in ("04", "05") else 180
    assert RESULTS["lesson_seconds"][path.stem] <= limit


def test_import_time_and_memory_growth_are_those_measured():
    text = " ".join(README.split())
    assert f"imports in {RESULTS['import_seconds']} s" in text
    assert f"grew by {RESULTS['memory_growth_mb_steps_100_to_400']} MB" in text


def test_the_live_charts_cost_is_that_measured():
    cost = max(RESULTS["live_chart_cost_percent"].values())
    assert f"at most {cost} % of a run's CPU time" in " ".join(README.split())


def test_the_live_chart_costs_at_most_three_per_cent_where_it_was_measured():
    assert max(RESULTS["live_chart_cost_percent"].values()) <= 3


def test_the_package_imports_in_under_three_seconds_where_it_was_measured():
    assert RESULTS["import_seconds"] < 3


def test_memory_did_not_grow_with_the_steps_where_it_was_measured():
    assert RESULTS["memory_growth_mb_steps_100_to_400"] < 20


def test_the_machine_is_named():
    assert RESULTS["machine"] in " ".join(README.split())


def test_the_published_losses_are_lesson_01s():
    lesson = (ROOT / "notebooks" / "01_cross_entropy_by_hand.ipynb").read_text("utf-8")
    for loss in ("11.0318", "11.1018"):
        assert loss in README
        assert loss in lesson


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "data/README.md"])
def test_every_relative_link_leads_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert [
        link for link in links if not (ROOT / document).parent.joinpath(link).exists()
    ] == []
