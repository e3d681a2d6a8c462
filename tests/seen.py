"""What a reader of a chart sees, and what they can move: read from its widgets."""

from html.parser import HTMLParser

import ipywidgets as widgets
from plotly.graph_objects import FigureWidget


def parts(widget):
    """A widget and all that it shows, in their order on the page."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)


def figure(chart):
    """The figure of a chart; each has one."""
    [found] = [part for part in parts(chart) if isinstance(part, FigureWidget)]
    return found


def line(chart, name):
    """The points of a figure's trace, by the name in its legend: [(x, y), ...]."""
    [trace] = [trace for trace in figure(chart).data if trace.name == name]
    return list(zip(trace.x or (), trace.y or (), strict=True))


def controls(chart):
    """Everything in a chart that a reader can click or move."""
    only_shown = widgets.HTML | widgets.Label | widgets.IntProgress
    may_be_moved = widgets.Button | widgets.ValueWidget
    return [
        part
        for part in parts(chart)
        if isinstance(part, may_be_moved) and not isinstance(part, only_shown)
    ]


def control(chart, description):
    """The control with that label."""
    [found] = [c for c in controls(chart) if c.description == description]
    return found


class _Reader(HTMLParser):
    def __init__(self, source):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        if self.lasttag != "style":
            self.texts.append(data)


def text(source):
    """What a browser shows of some HTML."""
    return "".join(_Reader(source).texts)


def tags(source):
    """The elements that a browser makes of some HTML."""
    return set(_Reader(source).tags)


def page_text(chart):
    """All text of a chart, from top to bottom."""
    shown = widgets.HTML | widgets.Label
    found = [part.value for part in parts(chart) if isinstance(part, shown)]
    return "\n".join(text(value) for value in found)
