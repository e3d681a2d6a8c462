"""The plot of both losses: drawn on the Axes given, never shown."""

import subprocess
import sys

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from llm_helpers import plot_losses

EPOCHS_SEEN = [0.5, 1.0, 1.5, 2.0]
TOKENS_SEEN = [100, 200, 300, 400]
TRAIN_LOSSES = [4.0, 3.0, 2.0, 1.0]
VAL_LOSSES = [4.1, 3.5, 3.25, 3.6]
LISTS = (EPOCHS_SEEN, TOKENS_SEEN, TRAIN_LOSSES, VAL_LOSSES)


@pytest.fixture
def ax():
    """Axes of a figure that pyplot does not know of."""
    return Figure().add_subplot()


@pytest.fixture
def pyplot(monkeypatch):
    """pyplot without a screen; any call of `show` fails the test."""
    mpl.use("agg")
    from matplotlib import pyplot as plt

    def refuse(*args, **kwargs):
        pytest.fail("plot_losses called show")

    monkeypatch.setattr(plt, "show", refuse)
    monkeypatch.setattr(Figure, "show", refuse)
    yield plt
    plt.close("all")


def lines_of(ax):
    return {line.get_label(): line for line in ax.get_lines()}


def test_the_axes_given_are_returned(ax):
    assert plot_losses(*LISTS, ax=ax) is ax


def test_without_axes_a_new_figure_is_made(pyplot):
    ax = plot_losses(*LISTS)
    assert pyplot.get_fignums() == [ax.figure.number]


@pytest.mark.usefixtures("pyplot")
def test_nothing_is_shown_with_axes_given(ax):
    plot_losses(*LISTS, ax=ax)


@pytest.mark.usefixtures("pyplot")
def test_nothing_is_shown_on_a_new_figure():
    plot_losses(*LISTS)


@pytest.mark.parametrize(
    ("label", "losses"), [("training", TRAIN_LOSSES), ("validation", VAL_LOSSES)]
)
def test_both_losses_are_drawn_over_epochs(ax, label, losses):
    plot_losses(*LISTS, ax=ax)
    assert lines_of(ax)[label].get_xydata().tolist() == [
        [epoch, loss] for epoch, loss in zip(EPOCHS_SEEN, losses, strict=True)
    ]


def test_the_lowest_validation_loss_is_marked(ax):
    plot_losses(*LISTS, ax=ax)
    assert lines_of(ax)["best validation"].get_xydata().tolist() == [[1.5, 3.25]]


def test_the_title_tells_the_finding(ax):
    plot_losses(*LISTS, ax=ax)
    assert ax.get_title() == "Validation loss is lowest after 1.5 epochs: 3.250 nats"


def test_the_lower_axis_counts_epochs(ax):
    assert plot_losses(*LISTS, ax=ax).get_xlabel() == "epochs"


def test_the_loss_axis_names_its_unit(ax):
    assert "nats per token" in plot_losses(*LISTS, ax=ax).get_ylabel()


def test_an_upper_axis_counts_tokens(ax):
    plot_losses(*LISTS, ax=ax)
    [top] = [other for other in ax.figure.axes if other is not ax]
    assert (top.get_xlabel(), top.xaxis.get_label_position()) == ("tokens seen", "top")


def test_epochs_and_tokens_of_an_evaluation_stand_above_each_other(ax):
    plot_losses(*LISTS, ax=ax)
    [top] = [other for other in ax.figure.axes if other is not ax]
    ax.figure.draw_without_rendering()  # only then the axes have their limits
    places = [
        [axes.transData.transform((x, 0))[0] for x in xs]
        for axes, xs in ((ax, EPOCHS_SEEN), (top, TOKENS_SEEN))
    ]
    assert places[0] == pytest.approx(places[1])


def test_the_curves_can_be_told_apart_without_colour(ax):
    lines = lines_of(plot_losses(*LISTS, ax=ax))
    styles = {lines[label].get_linestyle() for label in ("training", "validation")}
    assert len(styles) == 2


def test_the_legend_names_both_losses(ax):
    texts = plot_losses(*LISTS, ax=ax).get_legend().get_texts()
    assert {"training", "validation"} <= {text.get_text() for text in texts}


def test_a_floor_is_drawn_across_and_named(ax):
    plot_losses(*LISTS, ax=ax, floor=0.75)
    assert list(lines_of(ax)["floor, 0.750"].get_ydata()) == [0.75, 0.75]


def test_without_a_floor_there_are_two_curves_and_a_point(ax):
    plot_losses(*LISTS, ax=ax)
    assert list(lines_of(ax)) == ["training", "validation", "best validation"]


def test_a_single_evaluation_can_be_drawn(ax):
    plot_losses([1.0], [100], [3.0], [3.5], ax=ax)
    assert ax.get_title() == "Validation loss is lowest after 1.0 epochs: 3.500 nats"


def test_the_lists_that_are_passed_stay_as_they_are(ax):
    before = [list(values) for values in LISTS]
    plot_losses(*LISTS, ax=ax)
    assert [list(values) for values in LISTS] == before


def test_a_figure_can_be_saved_without_a_screen(ax, tmp_path):
    plot_losses(*LISTS, ax=ax)
    ax.figure.savefig(tmp_path / "losses.png")
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_lists_of_different_lengths_are_refused(ax):
    with pytest.raises(
        ValueError, match=r"lists have \[4, 4, 4, 3\] entries; pass one of each per"
    ):
        plot_losses(EPOCHS_SEEN, TOKENS_SEEN, TRAIN_LOSSES, VAL_LOSSES[:3], ax=ax)


def test_empty_lists_are_refused(ax):
    with pytest.raises(
        ValueError, match=r"\[0, 0, 0, 0\] entries; .* without a validation loader"
    ):
        plot_losses([], [], [], [], ax=ax)


def test_refused_lists_leave_the_axes_empty(ax):
    with pytest.raises(ValueError, match="entries"):
        plot_losses(EPOCHS_SEEN, TOKENS_SEEN, [], [], ax=ax)
    assert not ax.has_data()


NO_PYPLOT = """
import sys
import llm_helpers
assert "matplotlib.pyplot" not in sys.modules, "import"
assert "ipywidgets" not in sys.modules, "widgets"
from matplotlib.figure import Figure
llm_helpers.plot_losses([1.0], [9], [2.0], [3.0], ax=Figure().add_subplot())
assert "matplotlib.pyplot" not in sys.modules, "plot_losses"
"""


def test_pyplot_is_not_imported_where_axes_are_given():
    process = subprocess.run(
        [sys.executable, "-c", NO_PYPLOT],
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=200,
    )
    assert process.stderr == ""
