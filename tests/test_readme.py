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


SPEED_ROWS = {
    "llm_helpers, kept": "this course",
    "llm_helpers": "this course, freed memory handed back",
    "plain": "the step written the plain way",
    "plain, kept": "the same, freed memory kept",
    "transformers": "transformers' GPT-2",
    "transformers, kept": "the same, freed memory kept",
    "llms-from-scratch": "llms-from-scratch",
    "llms-from-scratch, kept": "the same, freed memory kept",
    "llms-from-scratch, its fast model": "llms-from-scratch, its fast model",
    "llms-from-scratch, its fast model, kept": "the same, freed memory kept",
}


@pytest.mark.parametrize(("contender", "label"), SPEED_ROWS.items())
def test_a_row_of_the_speed_table_is_what_was_measured(contender, label):
    cells = [label]
    for dropout in ("dropout 0.1", "dropout 0.0"):
        found = RESULTS["training_step"][dropout][contender]
        cells += [f"{found['wall_s']:.1f}", f"{found['cpu_s']:.1f}"]
        cells += [f"{found['share_of_ceiling']:.0%}"]
    assert f"| {' | '.join(cells)} |" in README


PROCESS_ROWS = {
    "1 process": "this course, 1 process",
    "2 processes, DDP": "this course, 2 processes, DDP",
    "2 processes, FSDP": "this course, 2 processes, FSDP",
    "plain": "the step written the plain way",
    "transformers": "transformers' GPT-2",
}


@pytest.mark.parametrize(("contender", "label"), PROCESS_ROWS.items())
def test_a_row_of_the_table_of_processes_is_what_was_measured(contender, label):
    found = RESULTS["processes"][contender]
    share = f"{found['share_of_ceiling']:.0%}"
    row = f"| {label} | {found['tokens_per_s']} | {share} | {found['peak_gb']} |"
    assert row in README


@pytest.mark.parametrize(
    ("language", "entries", "last"), [("zh", 14, 23), ("en", 24, 33)]
)
def test_a_recorded_run_is_the_series_run(language, entries, last):
    path = ROOT / "data" / "recorded_runs" / f"gpt2_small_{language}.json"
    run = json.loads(path.read_text(encoding="utf-8"))
    assert abs(run["log"]["batch_losses"][0] - 11.0) < 0.3
    assert [len(values) for values in run["history"].values()] == [entries] * 3
    assert run["checkpoints_kept"] == [last - 1, last]
    assert run["history"]["train_losses"][-1] < 3


def test_the_speed_of_sampling_is_that_measured():
    text = " ".join(README.split())
    for contender, label in (
        ("llm_helpers", "the course {:.1f} tokens a second"),
        ("transformers", "transformers {:.1f}"),
        ("llm_helpers without cache", "without its cache {:.1f}"),
    ):
        speed = RESULTS["sampling"][contender]["tokens_per_s"]
        assert label.format(speed) in text


def test_the_large_corpus_is_as_measured():
    found, text = RESULTS["large_corpus"], " ".join(README.split())
    assert f"{found['gigabytes']:.1f} GB of text" in text
    assert f"in {found['tokenising_s']:.0f} s" in text
    assert f"at most {found['peak_gb']} GB of memory" in text
    assert found["peak_gb"] < 2


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
