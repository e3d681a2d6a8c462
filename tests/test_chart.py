"""What all charts keep to: one sentence as text, labels, no touch of random numbers."""

import asyncio
import random
import subprocess
import sys

import ipywidgets as widgets
import numpy as np
import pytest
import torch
from seen import controls
from tiny import CONTEXT_LEN, CharTokenizer, run_settings, tiny_model

from llm_helpers import TrainingRun
from llm_helpers.chart import RunningMean, thinned
from llm_helpers.explorers import CrossEntropyExplorer, SamplingExplorer
from llm_helpers.live import LiveTraining
from llm_helpers.loss_explorer import LossExplorer


def new_run(folder):
    return TrainingRun(**run_settings(folder))


def trained(folder):
    run = new_run(folder)
    for _ in run.steps():
        pass
    return run


# What each chart is made from, and then the chart.
MATERIAL = {
    "LiveTraining": new_run,
    "LossExplorer": lambda folder: {"one": trained(folder / "1"), "two": folder / "1"},
    "CrossEntropyExplorer": lambda folder: {"lamp": 2.0, "tide": 1.0},
    "SamplingExplorer": lambda folder: tiny_model(),
}
CHARTS = {
    "LiveTraining": LiveTraining,
    "LossExplorer": LossExplorer,
    "CrossEntropyExplorer": lambda logits: CrossEntropyExplorer(logits, "lamp"),
    "SamplingExplorer": lambda model: SamplingExplorer(
        model, "the ", CharTokenizer(), CONTEXT_LEN
    ),
}


@pytest.fixture(params=CHARTS)
def name(request):
    return request.param


@pytest.fixture
def chart(name, tmp_path):
    return CHARTS[name](MATERIAL[name](tmp_path))


def move_every_control(chart):
    for part in controls(chart):
        if isinstance(part, widgets.Checkbox):
            part.value = not part.value
        elif isinstance(part, widgets.Text):
            part.value += "la"
        elif isinstance(part, widgets.Dropdown | widgets.SelectionSlider):
            part.index = len(part.options) - 1 - part.index
        elif isinstance(part, widgets.FloatLogSlider):
            part.value = part.base**part.min
        elif isinstance(part, widgets.FloatSlider):
            part.value = part.min + part.step
        else:
            part.click()


def random_states():
    """Of every generator that a program may share with a chart."""
    state = np.random.get_state()
    return (
        torch.get_rng_state().tolist(),
        random.getstate(),
        [entry.tolist() if hasattr(entry, "tolist") else entry for entry in state],
    )


def test_a_chart_prints_as_one_fixed_sentence(chart, name):
    assert repr(chart) == f"{name}: interactive, in a running notebook."


def test_a_chart_prints_the_same_when_it_has_been_moved(chart):
    before = repr(chart)
    move_every_control(chart)
    assert repr(chart) == before


def test_a_chart_prints_the_same_when_it_has_trained(tmp_path):
    chart = LiveTraining(new_run(tmp_path))
    before = repr(chart)
    asyncio.run(chart.train())
    assert repr(chart) == before


def test_the_sentence_is_not_cut(chart):
    """ipywidgets shortens a text of more than 110 characters."""
    assert chart._repr_mimebundle_()["text/plain"] == repr(chart)


def test_every_control_has_a_label(chart):
    assert [type(part) for part in controls(chart) if not part.description] == []


def test_no_two_controls_have_the_same_label(chart):
    labels = [part.description for part in controls(chart)]
    assert sorted(labels) == sorted(set(labels))


def test_making_a_chart_draws_no_random_number(name, tmp_path):
    material = MATERIAL[name](tmp_path)
    before = random_states()
    CHARTS[name](material)
    assert random_states() == before


def test_moving_a_chart_draws_no_random_number(chart):
    before = random_states()
    move_every_control(chart)
    assert random_states() == before


# Points


def test_few_values_are_not_thinned():
    assert thinned([3, 1, 2], max_points=3) == [3, 1, 2]


def test_no_values_stay_none():
    assert thinned([]) == []


@pytest.mark.parametrize("count", [1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 49, 50, 51, 1000])
def test_there_are_at_most_as_many_as_asked_for(count):
    assert len(thinned(list(range(count)), max_points=5)) <= 5


@pytest.mark.parametrize("count", [4, 5, 6, 7, 8, 9, 10, 11, 49, 50, 51, 1000])
def test_the_first_and_the_last_value_are_kept(count):
    kept = thinned(list(range(count)), max_points=5)
    assert (kept[0], kept[-1]) == (0, count - 1)


def test_thinned_values_are_evenly_spaced():
    assert thinned(list(range(13)), max_points=5) == [0, 3, 6, 9, 12]


def test_one_more_value_leaves_the_others_where_they_were():
    assert thinned(list(range(12)), max_points=5) == [0, 3, 6, 9, 11]


# Running mean


def test_a_running_mean_of_equal_values_is_that_value():
    mean = RunningMean(0.9)
    assert [mean.add(2.0) for _ in range(5)] == pytest.approx([2.0] * 5)


def test_a_running_mean_weighs_newer_values_more():
    mean = RunningMean(0.5)
    mean.add(1.0)
    assert mean.add(4.0) == pytest.approx((0.5 * 1.0 + 4.0) / 1.5)


def test_a_running_mean_leaves_out_what_is_unknown():
    mean = RunningMean(0.5)
    mean.add(float("nan"))
    assert mean.add(4.0) == 4.0


# Only who wants a chart pays for it


IMPORTS = """
import sys
import llm_helpers
heavy = {"plotly", "ipywidgets", "ipykernel", "IPython", "matplotlib.pyplot"}
print(sorted(heavy & set(sys.modules)))
"""


def test_importing_the_package_imports_nothing_for_charts():
    printed = subprocess.run(
        [sys.executable, "-c", IMPORTS],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=200,
    )
    assert printed.stdout == "[]\n"
