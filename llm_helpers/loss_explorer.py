"""Read the losses of finished runs: drag a cursor, compare runs, see each sample."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets

from llm_helpers.chart import (
    COLOURS,
    GREY,
    Chart,
    axis_control,
    log_control,
    new_figure,
    on_axis,
    wide,
)
from llm_helpers.checkpoint import read_state
from llm_helpers.checkpoint_folder import newest_checkpoints
from llm_helpers.loss import perplexity
from llm_helpers.optimization import num_optimizer_steps
from llm_helpers.trace import LoggedEvaluation, RunLog
from llm_helpers.training import TrainingRun

_COLUMNS = ("run", "step", "epoch", "training", "validation", "gap", "perplexity")


@dataclass(frozen=True, kw_only=True)
class LossCurve:
    """The evaluations of one run."""

    label: str
    evaluations: list[LoggedEvaluation]
    steps_per_epoch: int
    best_checkpoint: int | None

    @classmethod
    def of(cls, label: str, source: TrainingRun | str | Path) -> LossCurve:
        """From a run, or from the newest checkpoint of a folder.

        Raises:
            FileNotFoundError: the folder holds no checkpoint.
            CheckpointError: its newest checkpoint is damaged.
            ValueError: the run has evaluated no validation loss.
        """
        if isinstance(source, TrainingRun):
            log, best, steps = source.log, source.best, source.steps_per_epoch
        else:
            state = _newest_state(source)
            log, best = RunLog.from_state(state), state["best"]
            described = state["run"]
            accumulated = described.get("accumulation_steps") or 1
            steps = num_optimizer_steps(described["batches in an epoch"], accumulated)
        evaluations = [e for e in log.evaluations if e.val_loss is not None]
        if not evaluations:
            raise ValueError(
                f"the run {label!r} has no validation losses to explore; "
                "train it with a val_loader"
            )
        return cls(
            label=label,
            evaluations=evaluations,
            steps_per_epoch=steps,
            best_checkpoint=None if best is None else best[0],
        )

    @property
    def lowest(self) -> LoggedEvaluation:
        """The evaluation with the lowest validation loss."""
        return min(self.evaluations, key=lambda e: e.val_loss)

    def at(self, step: int) -> LoggedEvaluation:
        """The last evaluation up to a step; the first one where there is none."""
        before = [e for e in self.evaluations if e.global_step <= step]
        return before[-1] if before else self.evaluations[0]

    def place(self, evaluation: LoggedEvaluation, axis: str) -> float:
        return on_axis(axis, *evaluation[:2], self.steps_per_epoch)


class LossExplorer(Chart):
    """Losses of one or more runs, with a cursor that reads them.

    A star marks each run's best checkpoint; where none was saved, its lowest validation
    loss. From the lowest validation loss on, where it rises, the background is shaded.

    Args:
        runs: a `TrainingRun` or a checkpoint folder; or a dict of them by name.
        floor: the least loss that any model can reach on new text, nats per token; it
            is drawn as a line.

    Raises:
        What `LossCurve.of` raises.
    """

    def __init__(
        self,
        runs: TrainingRun | str | Path | dict[str, TrainingRun | str | Path],
        *,
        floor: float | None = None,
    ):
        if not isinstance(runs, dict):
            runs = {"run": runs}
        self.curves = [LossCurve.of(label, run) for label, run in runs.items()]
        self._make_controls()
        self._figure = new_figure(
            height=360,
            title_text="Training and validation loss",
            yaxis_title="cross entropy (nats per token)",
        )
        for curve, colour in zip(self.curves, COLOURS * len(self.curves)):
            _add_curve(self._figure, curve, colour)
        if floor is not None:
            line = dict(color=GREY, width=2, dash="longdash")
            name = f"floor, {floor:.3f}"
            self._figure.add_scatter(name=name, y=[floor] * 2, line=line, mode="lines")
        super().__init__(self._rows())
        self._draw()

    def chosen(self) -> list[LossCurve]:
        """The runs whose boxes are ticked."""
        return [c for c, box in zip(self.curves, self.boxes) if box.value]

    def _draw(self, _change=None) -> None:
        axis, step = self.axis.value, self.cursor.value
        shapes, traces = [], iter(self._figure.data)
        with self._figure.batch_update():
            self._figure.layout.xaxis.title.text = axis
            for curve, box in zip(self.curves, self.boxes):
                _draw_curve(curve, [next(traces) for _ in range(4)], axis, step, box)
                if box.value:
                    shapes += _shapes(curve, axis, step)
            for floor in traces:  # at most one, from the first evaluation to the last
                floor.x = self._ends(axis)
            self._figure.layout.shapes = shapes
        self._read()

    def _ends(self, axis: str) -> tuple[float, float]:
        places = [c.place(e, axis) for c in self.curves for e in c.evaluations]
        return min(places), max(places)

    def _read(self) -> None:
        """The losses at the cursor as a table, and the samples."""
        rows, samples = [], []
        for curve in self.chosen():
            evaluation = curve.at(self.cursor.value)
            rows.append(_reading(curve, evaluation))
            name = html.escape(curve.label)
            samples.append(f"<b>{name}</b><pre>{html.escape(evaluation.sample)}</pre>")
        self.table.value = _table(rows)
        self.samples.value = "".join(samples)

    def _set_scale(self, change) -> None:
        self._figure.layout.yaxis.type = "log" if change.new else "linear"

    def _make_controls(self) -> None:
        steps = sorted({e.global_step for c in self.curves for e in c.evaluations})
        self.cursor = widgets.SelectionSlider(
            options=steps, value=steps[-1], description="Step", layout=wide("95%")
        )
        self.boxes = [
            widgets.Checkbox(value=True, description=c.label, indent=False)
            for c in self.curves
        ]
        self.axis, self.log_scale = axis_control(), log_control()
        self.table, self.samples = widgets.HTML(), widgets.HTML()
        for control in (self.cursor, self.axis, *self.boxes):
            control.observe(self._draw, "value")
        self.log_scale.observe(self._set_scale, "value")

    def _rows(self) -> list[widgets.Widget]:
        boxes = [widgets.HBox(self.boxes)] if len(self.boxes) > 1 else []
        return [
            *boxes,
            self._figure,
            self.cursor,
            widgets.HBox([self.axis, self.log_scale]),
            self.table,
            self.samples,
        ]


def _newest_state(folder: str | Path) -> dict:
    checkpoints = newest_checkpoints(folder)
    if not checkpoints:
        raise FileNotFoundError(f"no checkpoint in {folder}; check the path of the run")
    state = read_state(folder, checkpoints[0])
    if state is None or not {"run", "best"} <= state.keys():  # of another loop
        raise ValueError(
            f"the checkpoint in {folder} holds no losses; "
            "explore a run of pretrain_model or TrainingRun"
        )
    return state


def _add_curve(figure, curve: LossCurve, colour: str) -> None:
    """Four traces: training, validation, best checkpoint, cursor."""
    group = dict(legendgroup=curve.label, hovertemplate="%{y:.3f}")
    line = dict(color=colour, width=2)
    figure.add_scatter(name=f"{curve.label}: training", line=line, **group)
    figure.add_scatter(
        name=f"{curve.label}: validation", line=line | dict(dash="dash"), **group
    )
    number = curve.best_checkpoint
    is_saved = number is not None and _marked(curve).checkpoint == number
    best = f"best checkpoint ({number})" if is_saved else "lowest"
    marker = dict(symbol="star", size=13, color=colour)
    figure.add_scatter(
        name=f"{curve.label}: {best}", mode="markers", marker=marker, **group
    )
    marker = dict(symbol="circle-open", size=11, color=colour, line_width=2)
    figure.add_scatter(mode="markers", marker=marker, showlegend=False, **group)


def _draw_curve(curve: LossCurve, traces, axis: str, step: int, box) -> None:
    train, val, best, cursor = traces
    places = [curve.place(e, axis) for e in curve.evaluations]
    train.x = val.x = places
    train.y = [e.train_loss for e in curve.evaluations]
    val.y = [e.val_loss for e in curve.evaluations]
    marked = _marked(curve)
    best.x, best.y = [curve.place(marked, axis)], [marked.val_loss]
    here = curve.at(step)
    cursor.x = [curve.place(here, axis)] * 2
    cursor.y = [here.train_loss, here.val_loss]
    for trace in traces:
        trace.visible = box.value


def _marked(curve: LossCurve) -> LoggedEvaluation:
    """The best checkpoint's evaluation; where none was saved, the lowest."""
    number = curve.best_checkpoint
    saved = [e for e in curve.evaluations if e.checkpoint == number]
    return saved[0] if number is not None and saved else curve.lowest


def _shapes(curve: LossCurve, axis: str, step: int) -> list[dict]:
    """The cursor's line, and the shade from the lowest validation loss on."""
    here = curve.place(curve.at(step), axis)
    line = dict(color=GREY, width=1, dash="dot")
    shapes = [dict(type="line", x0=here, x1=here, y0=0, y1=1, yref="paper", line=line)]
    lowest, last = curve.lowest, curve.evaluations[-1]
    if last.val_loss > lowest.val_loss:
        ends = dict(x0=curve.place(lowest, axis), x1=curve.place(last, axis))
        shade = dict(fillcolor=GREY, opacity=0.12, line_width=0, layer="below")
        shapes.append(dict(type="rect", y0=0, y1=1, yref="paper", **ends, **shade))
    return shapes


def _reading(curve: LossCurve, e: LoggedEvaluation) -> tuple[str, ...]:
    return (
        html.escape(curve.label),
        f"{e.global_step:,}",
        f"{curve.place(e, 'epochs'):.2f}",
        f"{e.train_loss:.3f}",
        f"{e.val_loss:.3f}",
        f"{e.val_loss - e.train_loss:.3f}",
        f"{perplexity(e.val_loss):,.1f}",
    )


def _table(rows: list[tuple[str, ...]]) -> str:
    def row(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{c}</{tag}>" for c in cells) + "</tr>"

    return f"<table>{row(_COLUMNS, 'th')}{''.join(row(r, 'td') for r in rows)}</table>"
