"""The live chart drives the one loop: changes nothing in it, shows what it does."""

import asyncio
import math
import os
import re
import shutil
import signal
import time
from itertools import pairwise

import ipykernel
import ipywidgets as widgets
import pytest
import torch
from seen import control, controls, figure, line, page_text, parts, tags, text
from tiny import (
    BATCH_SIZE,
    CONTEXT_LEN,
    CharTokenizer,
    copy_of,
    run_settings,
    same,
    tiny_model,
)

from llm_helpers import (
    TrainingRun,
    list_checkpoints,
    load_checkpoint,
    pretrain_model,
    read_state,
    save_checkpoint,
)
from llm_helpers.checkpoint_folder import INTERRUPTED, newest_checkpoints
from llm_helpers.live import LiveTraining
from llm_helpers.trace import LoggedEvaluation, RunLog

STEPS = range(21)
TOKENS_SEEN = [(step + 1) * BATCH_SIZE * CONTEXT_LEN for step in STEPS]
EPOCHS_SEEN = [(step + 1) / 7 for step in STEPS]
EVALUATED = [0, 4, 6, 8, 12, 13, 16, 20, 20]  # every 4 steps and at each epoch's end


def settings(folder, seed=1, **changes):
    """3 epochs of 7 shuffled batches, with dropout."""
    frequencies = dict(num_epochs=3, eval_freq=4, save_freq=6)
    model = tiny_model(dropout=0.2, seed=seed)
    return run_settings(folder, model, **frequencies | changes)


def new_chart(folder, seed=1, **changes):
    return LiveTraining(TrainingRun(**settings(folder, seed, **changes)))


def chart_to_go_on(folder, **changes):
    return new_chart(folder, seed=9, checkpoint="latest", **changes)


def train(live, reader=None):
    """The run's history; a reader, if any, is an async function of chart and task."""

    async def both():
        training = asyncio.create_task(live.train())
        reading = asyncio.create_task(reader(live, training)) if reader else None
        history = await training
        if reading is not None:
            await reading
        return history

    return asyncio.run(asyncio.wait_for(both(), 100))


async def reach(live, step):
    """Wait until that many steps are made; steps and readers take turns."""
    while live.training_run.position.global_step < step:
        await asyncio.sleep(0)


def click(live, description):
    control(live, description).click()


def interrupt(live, training):
    os.kill(os.getpid(), signal.SIGINT)


def terminate(live, training):
    os.kill(os.getpid(), signal.SIGTERM)


WAYS_TO_STOP = {
    "Stop": lambda live, training: click(live, "Stop"),
    "the notebook's stop button": interrupt,
    "SIGTERM": terminate,
    "a cancelled task": lambda live, training: training.cancel(),
}


def stops(step, way="Stop", paused=False):
    """A reader who stops the run after that step, from a pause or not."""

    async def reader(live, training):
        await reach(live, step)
        if paused:
            click(live, "Pause")
            await asyncio.sleep(0.1)
        WAYS_TO_STOP[way](live, training)

    return reader


def pauses(*steps):
    """A reader who pauses the run after each of those steps, and continues it."""

    async def reader(live, training):
        for step in steps:
            await reach(live, step)
            click(live, "Pause")
            await asyncio.sleep(0.06)
            click(live, "Continue")

    return reader


def does(action, step):
    """A reader who does something with the chart after that step."""

    async def reader(live, training):
        await reach(live, step)
        action(live)

    return reader


def outcome(model, history, log, folder):
    """All that a run leaves behind."""
    return {
        "weights": copy_of(dict(model.state_dict())),
        "history": [list(values) for values in history],
        "log": log,
        "files": {
            path.name: torch.load(path, weights_only=True)
            for path in sorted(folder.glob("*.pth"))
        },
    }


def outcome_of(live, reader=None):
    history = train(live, reader)
    run = live.training_run
    return outcome(run.model, history, run.log, run.checkpoint_dir)


def differences(one, other):
    return [part for part in one if not same(one[part], other[part])]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What `pretrain_model` leaves behind."""
    folder = tmp_path_factory.mktemp("plain")
    arguments = settings(folder)
    history = pretrain_model(**arguments)
    log = RunLog.from_state(read_state(folder, list_checkpoints(folder)[-1]))
    return outcome(arguments["model"], history, log, folder)


@pytest.fixture
def finished(tmp_path):
    """A chart whose run is at its end."""
    live = new_chart(tmp_path)
    train(live)
    return live


# The same run as without a chart


PAUSES = {
    "not paused": None,
    "paused once": pauses(10),
    # after the first step, at an epoch's end, after an evaluation, after the last step
    "paused often": pauses(1, 7, 8, 9, 21),
}


@pytest.fixture(scope="module", params=PAUSES)
def live_run(request, tmp_path_factory):
    live = new_chart(tmp_path_factory.mktemp("live"))
    return outcome_of(live, PAUSES[request.param])


def test_the_weights_are_those_of_pretrain_model(live_run, plain):
    assert same(live_run["weights"], plain["weights"])


def test_the_history_is_that_of_pretrain_model(live_run, plain):
    assert live_run["history"] == plain["history"]


def test_the_log_is_that_of_pretrain_model(live_run, plain):
    assert live_run["log"] == plain["log"]


def test_the_checkpoints_are_those_of_pretrain_model(live_run, plain):
    assert same(live_run["files"], plain["files"])


def test_playing_with_the_controls_changes_nothing_in_the_run(tmp_path, plain):
    def play(live):
        live.axis.value, live.log_scale.value = "epochs", True
        live.smoothing.value, live.samples.index = 0.9, 0

    assert differences(outcome_of(new_chart(tmp_path), does(play, 10)), plain) == []


# Pause


@pytest.fixture(scope="module")
def while_paused(tmp_path_factory):
    """What the chart shows in a pause after step 10, a while after the click."""
    seen = {}

    async def reader(live, training):
        await reach(live, 10)
        live.state.observe(
            lambda _: seen.setdefault("counted as it says so", live.numbers.value),
            "value",
        )
        click(live, "Pause")
        await asyncio.sleep(0.3)
        seen["steps"] = live.training_run.position.global_step
        seen["state"], seen["numbers"] = text(live.state.value), live.numbers.value
        seen["points"] = len(line(live, "training, each batch"))
        seen["enabled"] = enabled(live)
        click(live, "Stop")

    train(new_chart(tmp_path_factory.mktemp("paused")), reader)
    return seen


def enabled(live):
    buttons = [c for c in controls(live) if isinstance(c, widgets.Button)]
    return [button.description for button in buttons if not button.disabled]


def test_no_step_is_made_in_a_pause(while_paused):
    assert while_paused["steps"] == 10


def test_the_chart_says_that_the_run_is_paused(while_paused):
    assert while_paused["state"] == "paused"


def test_the_step_counter_shows_the_step_the_run_holds_at(while_paused):
    assert while_paused["numbers"].startswith("step 10 of 21")


def test_the_step_counter_is_right_before_the_chart_says_paused(while_paused):
    assert while_paused["counted as it says so"] == while_paused["numbers"]


def test_the_curve_goes_up_to_the_step_the_run_holds_at(while_paused):
    assert while_paused["points"] == 10


def test_a_paused_run_can_be_continued_or_stopped(while_paused):
    assert while_paused["enabled"] == ["Continue", "Stop"]


def test_a_training_run_can_be_paused_or_stopped(tmp_path):
    seen = []
    train(new_chart(tmp_path), does(lambda live: seen.extend(enabled(live)), 10))
    assert seen == ["Pause", "Stop"]


def test_before_training_there_is_nothing_to_click(tmp_path):
    assert enabled(new_chart(tmp_path)) == []


def test_after_training_there_is_nothing_to_click(finished):
    assert enabled(finished) == []


@pytest.mark.parametrize("button", ["Pause", "Continue", "Stop"])
def test_a_click_that_comes_after_the_end_does_nothing(finished, button):
    click(finished, button)
    assert text(finished.state.value) == "finished"


def test_a_second_click_on_stop_does_nothing(tmp_path):
    live = new_chart(tmp_path)
    train(live, stops(9))
    click(live, "Stop")
    assert text(live.state.value) == "stopped"


# Stop


@pytest.fixture(
    scope="module",
    params=[(way, paused) for way in WAYS_TO_STOP for paused in (False, True)],
    ids=lambda param: param[0] + (", while paused" if param[1] else ""),
)
def stopped(request, tmp_path_factory):
    """A chart whose run was stopped after step 9, and the history it returned."""
    live = new_chart(tmp_path_factory.mktemp("stopped"))
    return live, train(live, stops(9, *request.param))


def test_a_stopped_run_ends_after_the_step_it_is_at(stopped):
    assert stopped[0].training_run.position.global_step == 9


def test_a_stopped_run_returns_the_history_so_far(stopped, plain):
    assert [list(values) for values in stopped[1]] == [v[:3] for v in plain["history"]]


def test_a_stopped_run_leaves_one_more_checkpoint(stopped):
    folder = stopped[0].training_run.checkpoint_dir
    assert newest_checkpoints(folder) == [INTERRUPTED, 2, 1, 0]


def test_the_chart_says_that_the_run_was_stopped(stopped):
    assert text(stopped[0].state.value) == "stopped"


def test_the_chart_says_how_to_go_on(stopped):
    assert text(stopped[0].notices.value).endswith(
        'Interrupted after 9 steps and saved; go on with checkpoint="latest" '
        "(on the command line: --resume)."
    )


def test_a_stopped_run_goes_on_to_the_very_same_end(stopped, tmp_path, plain):
    folder = stopped[0].training_run.checkpoint_dir
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert differences(outcome_of(chart_to_go_on(copy)), plain) == []


# after the first step, at an epoch's end, after it, after the last step
@pytest.mark.parametrize("step", [1, 7, 8, 21])
def test_wherever_a_run_is_stopped_it_goes_on_to_the_same_end(tmp_path, step, plain):
    train(new_chart(tmp_path), stops(step))
    assert differences(outcome_of(chart_to_go_on(tmp_path)), plain) == []


def test_a_run_can_be_stopped_again_and_again(tmp_path, plain):
    train(new_chart(tmp_path), stops(3))
    train(chart_to_go_on(tmp_path), stops(12))
    train(chart_to_go_on(tmp_path), stops(13))
    assert differences(outcome_of(chart_to_go_on(tmp_path)), plain) == []


def test_pretrain_model_goes_on_from_a_run_stopped_in_a_chart(tmp_path, plain):
    train(new_chart(tmp_path), stops(9))
    arguments = settings(tmp_path, seed=9, checkpoint="latest")
    pretrain_model(**arguments)
    assert same(dict(arguments["model"].state_dict()), plain["weights"])


@pytest.mark.parametrize("way", WAYS_TO_STOP)
def test_a_stop_in_the_middle_of_a_step_waits_for_its_end(tmp_path, way):
    live, training = new_chart(tmp_path), []
    in_step(live, 9, lambda: WAYS_TO_STOP[way](live, *training))

    async def reader(_, task):
        training.append(task)

    train(live, reader)
    assert live.training_run.position.global_step == 9


def in_step(live, step, action):
    """Do something in the midst of a step."""

    def after_optimizer(*_):
        if live.training_run.position.global_step == step - 1:
            action()

    live.training_run.optimizer.register_step_post_hook(after_optimizer)


def test_the_signal_handlers_are_put_back(tmp_path):
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    train(new_chart(tmp_path), stops(9, "the notebook's stop button"))
    assert [signal.getsignal(number) for number in numbers] == before


# Errors


def test_a_chart_trains_only_once(finished):
    with pytest.raises(RuntimeError) as caught:
        train(finished)
    assert str(caught.value) == (
        "this chart has already trained its run; make a new TrainingRun with "
        'checkpoint="latest" and a new LiveTraining to go on'
    )


def test_a_refused_second_training_leaves_the_chart_as_it_is(finished):
    with pytest.raises(RuntimeError):
        train(finished)
    assert text(finished.state.value) == "finished"


def chart_that_fails(folder):
    live = new_chart(folder)
    live.training_run.optimizer.param_groups[0]["lr"] = math.inf
    return live


def test_an_error_in_training_is_raised(tmp_path):
    with pytest.raises(FloatingPointError, match="the training loss is nan at step 1"):
        train(chart_that_fails(tmp_path))


def test_the_chart_says_that_training_failed(tmp_path):
    live = chart_that_fails(tmp_path)
    with pytest.raises(FloatingPointError):
        train(live)
    assert text(live.state.value) == "failed"


def test_after_an_error_there_is_nothing_to_click(tmp_path):
    live = chart_that_fails(tmp_path)
    with pytest.raises(FloatingPointError):
        train(live)
    assert enabled(live) == []


def test_a_missing_checkpoint_is_raised(tmp_path):
    with pytest.raises(FileNotFoundError):
        train(new_chart(tmp_path, checkpoint=3))


# What the chart shows


def test_a_finished_run_is_called_finished(finished):
    assert text(finished.state.value) == "finished"


def test_before_training_the_chart_says_not_started(tmp_path):
    assert text(new_chart(tmp_path).state.value) == "not started"


AXES = {"steps": list(STEPS), "tokens": TOKENS_SEEN, "epochs": EPOCHS_SEEN}
in_each_unit = pytest.mark.parametrize("axis", AXES)


@in_each_unit
def test_each_step_lies_at_its_place_on_the_axis(finished, axis):
    control(finished, "Axis").value = axis
    places = [x for x, _ in line(finished, "training, each batch")]
    assert places == pytest.approx(AXES[axis])


@in_each_unit
@pytest.mark.parametrize("name", ["training", "validation"])
def test_each_evaluation_lies_at_its_place_on_the_axis(finished, axis, name):
    control(finished, "Axis").value = axis
    places = [x for x, _ in line(finished, name)]
    assert places == pytest.approx([AXES[axis][step] for step in EVALUATED])


@in_each_unit
def test_the_axis_names_its_unit(finished, axis):
    control(finished, "Axis").value = axis
    assert figure(finished).layout.xaxis.title.text == axis


def test_the_loss_axis_names_its_unit(finished):
    title = figure(finished).layout.yaxis.title.text
    assert title == "cross entropy (nats per token)"


@pytest.mark.parametrize("name", ["train_loss", "val_loss"])
def test_both_losses_of_every_evaluation_are_drawn(finished, name):
    shown = line(finished, {"train_loss": "training", "val_loss": "validation"}[name])
    logged = [getattr(e, name) for e in finished.training_run.log.evaluations]
    assert [y for _, y in shown] == logged


def test_training_and_validation_differ_in_more_than_colour(finished):
    dashes = {t.name: t.line.dash for t in figure(finished).data}
    assert dashes["training"] != dashes["validation"]


def test_without_smoothing_each_batch_has_its_own_loss(finished):
    shown = [y for _, y in line(finished, "training, each batch")]
    assert shown == finished.training_run.log.batch_losses


def running_means(losses, factor):
    """By the definition: weights factor^0, factor^1, ... back from each value."""
    means = []
    for i in range(len(losses)):
        weights = [factor**age for age in range(i + 1)]
        total = sum(w * loss for w, loss in zip(weights, losses[i::-1], strict=True))
        means.append(total / sum(weights))
    return means


@pytest.mark.parametrize("factor", [0.5, 0.98])
def test_smoothing_shows_the_running_mean_corrected_for_its_start(finished, factor):
    control(finished, "Smoothing").value = factor
    shown = [y for _, y in line(finished, "training, each batch")]
    losses = finished.training_run.log.batch_losses
    assert shown == pytest.approx(running_means(losses, factor))


def test_smoothing_chosen_while_training_holds_for_all_steps(tmp_path):
    live = new_chart(tmp_path)
    train(live, does(lambda live: setattr(live.smoothing, "value", 0.5), 10))
    shown = [y for _, y in line(live, "training, each batch")]
    losses = live.training_run.log.batch_losses
    assert shown == pytest.approx(running_means(losses, 0.5))


def test_smoothing_taken_back_shows_the_losses_again(finished):
    control(finished, "Smoothing").value = 0.9
    control(finished, "Smoothing").value = 0
    shown = [y for _, y in line(finished, "training, each batch")]
    assert shown == finished.training_run.log.batch_losses


def test_the_losses_can_be_seen_on_a_log_scale(finished):
    control(finished, "Log scale").value = True
    assert figure(finished).layout.yaxis.type == "log"


def test_the_log_scale_can_be_taken_back(finished):
    control(finished, "Log scale").value = True
    control(finished, "Log scale").value = False
    assert figure(finished).layout.yaxis.type == "linear"


def test_without_a_validation_loader_only_the_batches_are_drawn(tmp_path):
    live = new_chart(tmp_path, val_loader=None)
    train(live)
    names = ("training, each batch", "training", "validation")
    assert [len(line(live, name)) for name in names] == [21, 0, 0]


def test_a_line_has_at_most_2000_points(tmp_path):
    live = long_run(tmp_path, 5001)
    assert max(len(trace.x) for trace in figure(live).data) <= 2000


def test_a_line_of_many_steps_covers_the_whole_run(tmp_path):
    shown = line(long_run(tmp_path, 5001), "training, each batch")
    assert (shown[0], shown[-1]) == ((0, 0.0), (5000, 50.0))


def long_run(folder, num_steps):
    """The chart of a run with a loss of i / 100 at step i, evaluated at each."""
    live = new_chart(folder)
    log = live.training_run.log
    log.tokens_seen.extend(range(num_steps))
    log.batch_losses.extend(i / 100 for i in range(num_steps))
    log.evaluations.extend(
        LoggedEvaluation(i, i, i / 100, i / 100, "", None) for i in range(num_steps)
    )
    control(live, "Axis").value = "tokens"  # draws
    return live


def test_the_runs_notices_stand_in_the_chart(finished):
    notice = "This run writes 7 checkpoints of 0.1 MB and keeps them all: 0.4 MB."
    assert text(finished.notices.value) == notice


def test_notices_are_shown_as_they_are(tmp_path):
    live = new_chart(tmp_path / "R&amp;D", checkpoint="latest")
    train(live)
    assert f"No checkpoint in {tmp_path / 'R&amp;D'}" in text(live.notices.value)


def test_nothing_is_printed_but_the_charts_own_sentence(tmp_path, capsys):
    train(new_chart(tmp_path))
    assert capsys.readouterr() == (
        "LiveTraining: interactive, in a running notebook.\n",
        "",
    )


# Progress


def test_the_progress_bar_is_full_at_the_end(finished):
    assert (finished.progress.value, finished.progress.max) == (21, 21)


def test_progress_counts_steps_and_epochs(finished):
    assert finished.numbers.value.startswith("step 21 of 21 · epoch 3 of 3 · ")


def test_progress_counts_from_the_runs_start(tmp_path):
    train(new_chart(tmp_path), stops(9))
    live = chart_to_go_on(tmp_path)
    train(live, stops(12))
    assert live.numbers.value.startswith("step 12 of 21 · epoch 2 of 3 · ")


def slow_chart(folder):
    """140 steps of 0.1 s."""
    live = new_chart(folder, num_epochs=20, eval_freq=1000, save_freq=1000)
    live.training_run.optimizer.register_step_post_hook(lambda *_: time.sleep(0.1))
    return live


@pytest.fixture(scope="module")
def speed_and_seconds_left(tmp_path_factory):
    """What is shown after 6 slow steps and a pause of 3 s."""

    async def reader(live, training):
        await reach(live, 4)
        click(live, "Pause")
        await asyncio.sleep(3)
        click(live, "Continue")
        await reach(live, 6)
        click(live, "Stop")

    live = slow_chart(tmp_path_factory.mktemp("slow"))
    train(live, reader)
    found = re.search(
        r"([\d,]+) tokens per second · (\d+):(\d+) left", live.numbers.value
    )
    return int(found[1]), int(found[2]) * 60 + int(found[3])


def test_the_speed_is_that_of_the_steps_without_the_pauses(speed_and_seconds_left):
    assert 50 < speed_and_seconds_left[0] <= 160  # 16 tokens in 0.1 s; with pause 23


def test_the_time_left_is_that_of_the_steps_to_come(speed_and_seconds_left):
    assert 13 <= speed_and_seconds_left[1] < 43  # 134 steps of 0.1 s; with pause 94 s


# Samples


class Numbered(CharTokenizer):
    """Makes every sample another text."""

    def __init__(self):
        self.decoded = 0

    def decode(self, tokens):
        self.decoded += 1
        return f"sample {self.decoded}"


def test_each_sample_can_be_seen_again(tmp_path):
    live = new_chart(tmp_path, tokenizer=Numbered())
    train(live)
    seen = []
    for live.samples.index in range(len(EVALUATED)):
        seen.append(text(live.sample.value))
    assert seen == [f"sample {i + 1}" for i in range(len(EVALUATED))]


def test_the_slider_of_samples_names_their_steps(finished):
    assert finished.samples.options == tuple(f"step {step}" for step in EVALUATED)


def sample_at_the_end(folder, *indices):
    """The sample shown at the end, where a reader moves the slider in a pause."""

    async def reader(live, training):
        await reach(live, 15)  # 6 samples so far
        click(live, "Pause")
        await asyncio.sleep(0.1)
        for live.samples.index in indices:
            pass
        click(live, "Continue")

    live = new_chart(folder, tokenizer=Numbered())
    train(live, reader)
    return text(live.sample.value)


def test_the_newest_sample_is_shown(tmp_path):
    assert sample_at_the_end(tmp_path) == "sample 9"


def test_an_earlier_sample_stays_where_the_reader_has_put_it(tmp_path):
    assert sample_at_the_end(tmp_path, 2) == "sample 3"


def test_the_newest_sample_is_shown_again_where_the_reader_goes_back_to_it(tmp_path):
    assert sample_at_the_end(tmp_path, 2, 5) == "sample 9"


class Markup(CharTokenizer):
    def decode(self, tokens):
        return "<script>alert(1)</script> & <b>bold</b>"


def test_markup_in_a_sample_is_shown_as_it_is(tmp_path):
    live = new_chart(tmp_path, tokenizer=Markup())
    train(live)
    assert text(live.sample.value) == Markup().decode([])


def test_markup_in_a_sample_does_nothing(tmp_path):
    live = new_chart(tmp_path, tokenizer=Markup())
    train(live)
    assert tags(live.sample.value) == {"pre"}


# How often it is drawn


class Drawings:
    """When the curve of a chart was drawn, and how many points it had."""

    def __init__(self, live):
        self.times, self.points = [], []
        figure(live).data[0].on_change(self.note, "y")

    def note(self, trace, y):
        self.times.append(time.monotonic())
        self.points.append(len(y))


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    """Of a run of 210 steps of some milliseconds."""
    folder = tmp_path_factory.mktemp("drawings")
    live = new_chart(folder, num_epochs=30, eval_freq=50, save_freq=1000, keep_last=1)
    live.training_run.optimizer.register_step_post_hook(lambda *_: time.sleep(0.003))
    found = Drawings(live)
    train(live)
    return found


def test_the_curve_is_drawn_at_most_five_times_a_second(drawings):
    *between, last = (b - a for a, b in pairwise(drawings.times))
    assert min(between) >= 0.2, last  # the last one comes when the run ends


def test_the_curve_grows_while_the_run_trains(drawings):
    growing = drawings.points[:-1]  # where the run ends, it is drawn once more
    assert len(growing) >= 4
    assert growing == sorted(set(growing))


def test_the_curve_is_drawn_to_its_end(drawings):
    assert drawings.points[-1] == 210


def test_every_slow_step_is_drawn_at_once(tmp_path):
    live = new_chart(tmp_path, num_epochs=1)
    live.training_run.optimizer.register_step_post_hook(lambda *_: time.sleep(0.51))
    found = Drawings(live)
    train(live)
    assert sorted(set(found.points)) == [1, 2, 3, 4, 5, 6, 7]


# Runs that go on


def test_a_run_that_goes_on_shows_its_whole_curve_at_once(tmp_path):
    train(new_chart(tmp_path), stops(9))
    live = chart_to_go_on(tmp_path)
    found = Drawings(live)
    train(live)
    assert found.points[0] == 10


def test_a_run_that_goes_on_shows_its_curve_from_the_first_step(tmp_path, plain):
    train(new_chart(tmp_path), stops(9))
    live = chart_to_go_on(tmp_path)
    train(live)
    expected = list(zip(STEPS, plain["log"].batch_losses, strict=True))
    assert line(live, "training, each batch") == expected


def test_a_run_that_goes_on_has_its_earlier_samples(tmp_path):
    train(new_chart(tmp_path), stops(9))
    live = chart_to_go_on(tmp_path)
    train(live)
    assert live.samples.options == tuple(f"step {step}" for step in EVALUATED)


def test_a_run_that_has_finished_shows_its_whole_curve(finished):
    live = chart_to_go_on(finished.training_run.checkpoint_dir)
    train(live)
    name = "training, each batch"
    assert line(live, name) == line(finished, name)


@pytest.fixture
def continued_without_log(tmp_path):
    """A run continued from a checkpoint of before there were logs, after step 9."""
    live = new_chart(tmp_path)
    train(live, stops(9))
    run = live.training_run
    state = load_checkpoint(tmp_path, INTERRUPTED, run.model, run.optimizer)
    del state["log"]
    save_checkpoint(tmp_path, INTERRUPTED, run.model, run.optimizer, state)
    live = chart_to_go_on(tmp_path)
    return live, outcome_of(live)


def test_without_a_log_a_run_goes_on_to_the_very_same_weights(
    continued_without_log, plain
):
    assert same(continued_without_log[1]["weights"], plain["weights"])


def test_without_a_log_a_run_goes_on_to_the_very_same_history(
    continued_without_log, plain
):
    assert continued_without_log[1]["history"] == plain["history"]


def test_without_a_log_the_curve_begins_where_the_run_went_on(
    continued_without_log, plain
):
    expected = list(zip(STEPS, plain["log"].batch_losses, strict=True))[9:]
    assert line(continued_without_log[0], "training, each batch") == expected


def test_without_a_log_smoothing_begins_where_the_run_went_on(
    continued_without_log, plain
):
    live, _ = continued_without_log
    control(live, "Smoothing").value = 0.5
    shown = [y for _, y in line(live, "training, each batch")]
    assert shown == pytest.approx(running_means(plain["log"].batch_losses[9:], 0.5))


# Older kernels


@pytest.fixture
def old_kernel(monkeypatch):
    """One that keeps clicks until the cell has ended."""
    monkeypatch.setattr(ipykernel, "version_info", (7, 3, 9))


@pytest.mark.usefixtures("old_kernel")
def test_an_old_kernel_gets_no_buttons(tmp_path):
    live = new_chart(tmp_path)
    assert not [part for part in parts(live) if isinstance(part, widgets.Button)]


@pytest.mark.usefixtures("old_kernel")
def test_with_an_old_kernel_the_chart_says_what_to_use_instead(tmp_path):
    assert (
        "takes no clicks while a cell runs, so there are no buttons; the notebook's "
        "own stop button stops the run, with a checkpoint."
    ) in page_text(new_chart(tmp_path))


@pytest.mark.usefixtures("old_kernel")
def test_with_an_old_kernel_the_run_is_the_same(tmp_path, plain):
    assert differences(outcome_of(new_chart(tmp_path)), plain) == []


@pytest.mark.parametrize("version", [(7, 4, 0), (7, 10, 0), (8, 0, 0)])
def test_a_newer_kernel_gets_buttons(tmp_path, monkeypatch, version):
    monkeypatch.setattr(ipykernel, "version_info", version)
    live = new_chart(tmp_path)
    found = [part for part in parts(live) if isinstance(part, widgets.Button)]
    assert [button.description for button in found] == ["Pause", "Continue", "Stop"]
