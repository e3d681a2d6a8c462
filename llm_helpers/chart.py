"""What the interactive charts share: figure, theme, axes, thinning, smoothing.

The charts are plotly's `FigureWidget` with ipywidgets controls. Colours are legible on
white and on black, text takes the colour of the page, and dashes tell lines apart
without colour.
"""

from __future__ import annotations

import ipywidgets as widgets
import plotly.graph_objects as go

MAX_POINTS = 2000  # sent to the browser for one line
COLOURS = ("#2b83c6", "#d95f02", "#1b9e77", "#b8439a", "#a6761d", "#7570b3")
GREY = "#8a8a8a"
AXES = ("steps", "tokens", "epochs")
# Plotly's buttons that upload the chart to its maker or select what no lesson uses.
_NOT_OFFERED = ["sendChartToCloud", "select2d", "lasso2d"]

# Plotly writes colours into its drawing; these rules put the page's own in their place.
_STYLE = """<style>
.llm-chart .main-svg > g:not(.hoverlayer) text {fill: currentColor !important}
.llm-chart .modebar-btn path {fill: currentColor !important}
.llm-chart pre {white-space: pre-wrap; margin: 0; line-height: 1.35}
.llm-chart table {border-collapse: collapse}
.llm-chart th, .llm-chart td {padding: 2px 10px; text-align: right; line-height: 1.35}
.llm-chart th:first-child, .llm-chart td:first-child {text-align: left}
.llm-chart th {border-bottom: 1px solid currentColor}
</style>"""


class Chart(widgets.VBox):
    """A box of charts and controls that prints as one fixed sentence.

    Notebooks are compared by what they print, and a widget's own text holds its data.
    """

    def __init__(self, children):
        super().__init__([widgets.HTML(_STYLE), *children])
        self.add_class("llm-chart")

    def __repr__(self) -> str:
        return f"{type(self).__name__}: interactive, in a running notebook."


def new_figure(height: int = 340, **layout) -> go.FigureWidget:
    """An empty figure in the course's look."""
    grid = dict(gridcolor="rgba(138,138,138,0.25)", zeroline=False, linecolor=GREY)
    look = dict(
        height=height,
        autosize=True,
        title=dict(y=0.97, yanchor="top"),
        margin=dict(l=65, r=15, t=45, b=50),
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        modebar=dict(bgcolor="rgba(0,0,0,0)", remove=_NOT_OFFERED),
        hoverlabel=dict(bgcolor="#333333", font=dict(color="white")),
        legend=dict(orientation="h", y=-0.2, yanchor="top"),
    )
    figure = go.FigureWidget(layout=look)
    figure.update_layout(**layout)
    figure.update_xaxes(spikecolor=GREY, spikethickness=1, **grid)
    figure.update_yaxes(**grid)
    return figure


def axis_control() -> widgets.Dropdown:
    return widgets.Dropdown(options=AXES, description="Axis", layout=wide("170px"))


def log_control() -> widgets.Checkbox:
    return widgets.Checkbox(
        value=False, description="Log scale", indent=False, layout=wide("110px")
    )


def wide(width: str) -> widgets.Layout:
    return widgets.Layout(width=width)


def on_axis(axis: str, global_step: int, tokens_seen: int, steps_per_epoch: int):
    """Where an optimizer step (from 0) lies on the chosen axis."""
    if axis == "tokens":
        return tokens_seen
    return global_step if axis == "steps" else (global_step + 1) / steps_per_epoch


def thinned(values: list, max_points: int = MAX_POINTS) -> list:
    """At most that many of the values: every n-th from the first on, and the last.

    Counted from the first, so that a growing curve keeps the points it has shown.
    """
    last = len(values) - 1
    stride = max(1, -(-last // (max_points - 1)))
    kept = values[::stride]
    if last % stride:
        kept.append(values[-1])
    return kept


class RunningMean:
    """Exponential running mean, corrected for its start as Adam's moments are.

    Args:
        factor: how much of the past is kept at each value; 0 gives the values back.
    """

    def __init__(self, factor: float):
        self.factor = factor
        self.total = self.weight = 0.0

    def add(self, value: float) -> float:
        if value != value:  # unknown, in the log of an old checkpoint
            return value
        self.total = self.factor * self.total + value
        self.weight = self.factor * self.weight + 1.0
        return self.total / self.weight
