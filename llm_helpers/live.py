"""Watch a run while it trains: losses, samples, speed; pause it, continue it, stop it.

`LiveTraining` drives the one training loop with `await`. Between two steps it gives the
kernel a moment for clicks; callbacks only set flags, and the loop acts on them. Nothing
here touches the weights or a random number generator.
"""

from __future__ import annotations

import asyncio
import html
import time

import ipykernel
import ipywidgets as widgets
from IPython.display import display
from tqdm import tqdm

from llm_helpers.chart import (
    COLOURS,
    Chart,
    RunningMean,
    axis_control,
    log_control,
    new_figure,
    on_axis,
    thinned,
    wide,
)
from llm_helpers.interrupt import stop_on_signals
from llm_helpers.trace import EpochRecord, StepRecord
from llm_helpers.training import LossHistory, TrainingRun

SECONDS_BETWEEN_UPDATES = 0.5  # a browser redraws the whole figure each time
_ANSWERS_CLICKS_SINCE = (7, 4)  # older kernels keep clicks until the cell has ended
_OLD_KERNEL = (
    f"This kernel (ipykernel {ipykernel.__version__}) takes no clicks while a cell "
    "runs, so there are no buttons; the notebook's own stop button stops the run, with "
    "a checkpoint."
)


class LiveTraining(Chart):
    """An interactive chart that trains a `TrainingRun`.

        live = LiveTraining(run)
        history = await live.train()

    The run's notices appear in the chart. Weights, losses and checkpoints are those of
    `pretrain_model`, whether the run is paused or not.
    """

    def __init__(self, run: TrainingRun):
        self.training_run = run
        self.paused = False
        run.say = self._notice
        self._started = False
        self._seconds = 0.0  # spent in steps, evaluations and saving; pauses are not
        self._first = None  # the first record of this session
        self._num_samples = 0
        self._smoothed: list[float] = []
        self._mean = RunningMean(0.0)
        self._make_controls()
        self._figure = _loss_figure()
        super().__init__(self._rows())

    async def train(self) -> LossHistory:
        """Show the chart and train to the end, or until somebody stops the run.

        Stop, the notebook's stop button and SIGTERM end the run after the step it is
        at, with a checkpoint from which `checkpoint="latest"` continues it exactly.

        Returns:
            The history so far, as `pretrain_model` does.

        Raises:
            RuntimeError: this chart has trained its run before.
            What `TrainingRun.steps` raises.
        """
        if self._started:
            raise RuntimeError(
                "this chart has already trained its run; make a new TrainingRun with "
                'checkpoint="latest" and a new LiveTraining to go on'
            )
        self._started = True
        display(self)
        self._set_state("training")
        try:
            with stop_on_signals(self.training_run):
                await self._drive()
        except BaseException:
            self._set_state("failed")
            raise
        self._set_state("finished" if self.training_run.finished else "stopped")
        return self.training_run.history

    async def _drive(self) -> None:
        run, shown_at = self.training_run, 0.0
        records = run.steps()
        while True:
            await self._give_way()
            start = time.monotonic()
            record = next(records, None)
            now = time.monotonic()
            if record is None:
                break
            self._note(record, now - start)
            if now - shown_at >= SECONDS_BETWEEN_UPDATES:
                self._show()
                shown_at = time.monotonic()
        self._show()

    async def _give_way(self) -> None:
        """Let clicks in; wait while paused; an interrupt asks the run to stop."""
        run = self.training_run
        try:
            await asyncio.sleep(0)
            while self.paused and not run.stop_requested:
                await asyncio.sleep(0.05)
        except (asyncio.CancelledError, KeyboardInterrupt):
            run.stop_requested = True

    # ---- what the buttons do: flags only, and nothing where a click comes too late

    def pause(self, _button=None) -> None:
        """Hold the run after the step it is at."""
        if not self.pause_button.disabled:
            self.paused = True
            self._show()  # before it says so: the very step it holds at
            self._set_state("paused")

    def go_on(self, _button=None) -> None:
        """Continue a paused run."""
        if not self.continue_button.disabled:
            self.paused = False
            self._set_state("training")

    def stop(self, _button=None) -> None:
        """End the run after the step it is at, with a checkpoint."""
        if not self.stop_button.disabled:
            self.training_run.stop_requested = True
            self._set_state("stopping")

    # ---- what is shown

    def _note(self, record: StepRecord | EpochRecord, seconds: float) -> None:
        self._seconds += seconds
        if self._first is None:
            self._first, self._seconds = record, 0.0  # loading is no step

    def _show(self) -> None:
        """Bring figure, progress and samples up to date."""
        self._draw()
        self._show_progress()
        self._show_samples()

    def _draw(self, _change=None) -> None:
        run = self.training_run
        log, axis = run.log, self.axis.value
        steps_per_epoch = run.steps_per_epoch
        for loss in log.batch_losses[len(self._smoothed) :]:
            self._smoothed.append(self._mean.add(loss))
        steps = enumerate(zip(log.tokens_seen, self._smoothed))
        known = thinned([(i, n, loss) for i, (n, loss) in steps if loss == loss])
        evaluations = thinned([e for e in log.evaluations if e.val_loss is not None])
        places = [on_axis(axis, *e[:2], steps_per_epoch) for e in evaluations]
        batch, train, val = self._figure.data
        with self._figure.batch_update():
            self._figure.layout.xaxis.title.text = axis
            batch.x = [on_axis(axis, i, n, steps_per_epoch) for i, n, _ in known]
            batch.y = [loss for _, _, loss in known]
            train.x = val.x = places
            train.y = [e.train_loss for e in evaluations]
            val.y = [e.val_loss for e in evaluations]

    def _show_progress(self) -> None:
        run, at = self.training_run, self.training_run.position
        total = run.num_epochs * run.steps_per_epoch
        self.progress.max, self.progress.value = total, at.global_step
        parts = [
            f"step {at.global_step:,} of {total:,}",
            f"epoch {min(at.epoch + 1, run.num_epochs)} of {run.num_epochs}",
        ]
        steps_done = at.global_step - 1 - self._first.global_step if self._first else 0
        if steps_done and self._seconds:
            tokens = at.tokens_seen - self._first.tokens_seen
            left = (total - at.global_step) * self._seconds / steps_done
            parts.append(f"{tokens / self._seconds:,.0f} tokens per second")
            parts.append(f"{tqdm.format_interval(left)} left")
        self.numbers.value = " · ".join(parts)

    def _show_samples(self) -> None:
        """Add the new samples; the slider stays where a reader has put it."""
        evaluations = self.training_run.log.evaluations
        if len(evaluations) == self._num_samples:
            return
        follows = self.samples.index >= self._num_samples - 1
        index = len(evaluations) - 1 if follows else self.samples.index
        self._num_samples = len(evaluations)
        self.samples.options = [f"step {e.global_step}" for e in evaluations]
        self.samples.index = index
        self._show_sample()

    def _show_sample(self, _change=None) -> None:
        if self._num_samples:
            sample = self.training_run.log.evaluations[self.samples.index].sample
            self.sample.value = f"<pre>{html.escape(sample)}</pre>"

    def _smooth_anew(self, _change=None) -> None:
        self._smoothed, self._mean = [], RunningMean(self.smoothing.value)
        self._draw()

    def _set_scale(self, change) -> None:
        self._figure.layout.yaxis.type = "log" if change.new else "linear"

    def _set_state(self, state: str) -> None:
        self.state.value = f"<b>{state}</b>"
        self.pause_button.disabled = state != "training"
        self.continue_button.disabled = state != "paused"
        self.stop_button.disabled = state not in ("training", "paused")

    def _notice(self, line: str) -> None:
        self.notices.value += f"<pre>{html.escape(line)}</pre>"

    # ---- the controls

    def _make_controls(self) -> None:
        self.progress = widgets.IntProgress(description="Progress", max=1)
        self.state = widgets.HTML("<b>not started</b>")
        self.numbers = widgets.Label()
        self.notices = widgets.HTML()
        self.pause_button = _button("Pause", "pause", self.pause)
        self.continue_button = _button("Continue", "play", self.go_on)
        self.stop_button = _button("Stop", "stop", self.stop)
        self.axis = axis_control()
        self.log_scale = log_control()
        self.smoothing = widgets.FloatSlider(
            description="Smoothing", max=0.98, step=0.02, readout_format=".2f"
        )
        self.samples = widgets.SelectionSlider(
            options=["none yet"], description="Sample", layout=wide("95%")
        )
        self.sample = widgets.HTML()
        self.axis.observe(self._draw, "value")
        self.log_scale.observe(self._set_scale, "value")
        self.smoothing.observe(self._smooth_anew, "value")
        self.samples.observe(self._show_sample, "index")

    def _rows(self) -> list[widgets.Widget]:
        buttons = (self.pause_button, self.continue_button, self.stop_button)
        if ipykernel.version_info[:2] < _ANSWERS_CLICKS_SINCE:
            buttons = (widgets.HTML(html.escape(_OLD_KERNEL)),)
        return [
            widgets.HBox([self.progress, self.state, self.numbers]),
            widgets.HBox(buttons),
            self._figure,
            widgets.HBox([self.axis, self.log_scale, self.smoothing]),
            self.samples,
            self.sample,
            self.notices,
        ]


def _button(description: str, icon: str, action) -> widgets.Button:
    button = widgets.Button(description=description, icon=icon, disabled=True)
    button.on_click(action)
    return button


def _loss_figure():
    figure = new_figure(
        title_text="Loss while training",
        hovermode="x",
        hoverdistance=-1,  # every line answers, with its nearest point
        yaxis_title="cross entropy (nats per token)",
    )
    figure.add_scatter(
        name="training, each batch",
        line=dict(color=COLOURS[0], width=1),
        opacity=0.55,
    )
    figure.add_scatter(
        name="training", mode="lines+markers", line=dict(color=COLOURS[0], width=2.5)
    )
    figure.add_scatter(
        name="validation",
        mode="lines+markers",
        line=dict(color=COLOURS[1], width=2.5, dash="dash"),
        marker=dict(symbol="diamond"),
    )
    figure.update_traces(hovertemplate="%{y:.3f}")
    return figure
