"""The charts in a real JupyterLab, in a real browser: seen, clicked, typed at."""

import math
import re
import statistics
from pathlib import Path

import nbformat
import pytest
from played import play, play_in_a_new_process
from shown import CURVE, Shown
from tiny import same

from llm_helpers import list_checkpoints, read_state
from llm_helpers.trace import RunLog

TESTS_DIR = Path(__file__).resolve().parent.parent
LESSON = TESTS_DIR.parent / "notebooks" / "02_training_loop.ipynb"
TOKENS_PER_STEP = 16

# Live training, with steps of about 45 ms


RUN = dict(eval_freq=20, save_freq=1000, keep_last=2)
SET_UP_LIVE = f"""
import sys
sys.path.insert(0, {str(TESTS_DIR)!r})
import torch
from played import SLOW_LOADERS
from tiny import run_settings, tiny_model
from llm_helpers import TrainingRun
from llm_helpers.live import LiveTraining

torch.set_num_threads(1)

def new_run(folder, num_epochs):
    settings = run_settings(folder, tiny_model(dropout=0.2), num_epochs=num_epochs)
    settings |= {RUN} | dict(train_loader=SLOW_LOADERS["shuffled"]())
    return TrainingRun(**settings)
"""
STOPPED = [f"stopped {i}" for i in range(5)]
NUM_EPOCHS = {"watched": 600, "keys": 40, "interrupted": 40}
NUM_EPOCHS |= dict.fromkeys(STOPPED, 40)
NAMES = list(NUM_EPOCHS)


class Runs:
    """The runs of a notebook, one after the other."""

    def __init__(self, lab):
        self.lab, self.name, self.chart = lab, None, None

    def chart_of(self, name):
        """The chart of that run, which is started and drawn."""
        if name != self.name:
            self.end()
            self.name, self.chart = name, Shown(self.lab, 1 + NAMES.index(name))
            self.lab.start_cell(self.chart.index)
            self.chart.wait_until_drawn()
            assert self.chart.grows_beyond(3)
        return self.chart

    def end(self):
        """End the run that was started, if any."""
        if self.chart is not None:
            if self.chart.state() in ("training", "paused"):
                self.lab.interrupt()
            self.lab.wait_for_cell(self.chart.index)


@pytest.fixture(scope="module")
def live_lab(open_cells):
    cells = [
        f"history = await LiveTraining(new_run({name!r}, {count})).train()"
        for name, count in NUM_EPOCHS.items()
    ]
    cells.append("print(len(history.val_losses), 'evaluations')")
    lab = open_cells("live.ipynb", [SET_UP_LIVE, *cells])
    lab.run_cell(0)
    return lab


@pytest.fixture(scope="module")
def runs(live_lab):
    found = Runs(live_lab)
    yield found
    found.end()


@pytest.fixture
def watched(runs):
    """The chart of a run that is training."""
    chart = runs.chart_of("watched")
    if chart.state() == "paused":
        chart.click("Continue")
    assert chart.becomes("training")
    return chart


@pytest.fixture
def paused(watched):
    """The chart of a run that the reader has paused."""
    watched.click("Pause")
    assert watched.becomes("paused")
    return watched


def test_the_curve_grows_while_the_run_trains(watched):
    assert watched.grows_beyond(watched.points() + 10)


def test_the_end_of_the_curve_moves_on_while_the_run_trains(watched):
    last = watched.data(CURVE, "x")[-1]
    assert watched.comes("plot.data[0].x.at(-1) > value", last + 5)


def test_the_step_counter_moves_while_the_run_trains(watched):
    assert watched.step_moves_from(watched.step())


def test_pause_holds_the_step_counter(paused):
    held = paused.step()
    paused.page.wait_for_timeout(1000)  # 20 steps, if it did not hold
    assert paused.step() == held


def test_pause_holds_the_curve_at_the_step_counter(paused):
    paused.page.wait_for_timeout(1000)  # for what is on its way to the page
    assert paused.points() == paused.step()


def test_continue_moves_the_step_counter(paused):
    held = paused.step()
    paused.click("Continue")
    assert paused.step_moves_from(held)


def test_the_pointer_over_the_plot_reads_every_line(paused):
    area = paused.plot.locator(".nsewdrag").first.bounding_box()
    paused.page.mouse.move(area["x"] + area["width"] / 2, area["y"] + 60)
    labels = paused.plot.locator(".hoverlayer .hovertext")
    labels.nth(2).wait_for()
    names = labels.locator(".name").all_text_contents()
    assert sorted(names) == ["training", "training, each batch", "validation"]


def test_the_axis_can_be_tokens(watched):
    watched.box.get_by_role("combobox").select_option("tokens")
    changed = watched.comes("plot.data[0].x[1] === value", 2 * TOKENS_PER_STEP)
    watched.box.get_by_role("combobox").select_option("steps")
    assert changed


def test_the_loss_axis_can_be_logarithmic(watched):
    watched.box.get_by_label("Log scale").check()
    changed = watched.comes("plot.layout.yaxis.type === value", "log")
    watched.box.get_by_label("Log scale").uncheck()
    assert changed


def test_no_button_sends_a_chart_away(watched):
    buttons = watched.plot.locator(".modebar-btn")
    labels = buttons.evaluate_all("found => found.map(b => b.ariaLabel)")
    assert "Zoom" in labels
    assert "Share chart..." not in labels


# Live training by keys alone


def test_tab_and_space_pause_the_run(watched):
    watched.tab_to("Pause")
    watched.page.keyboard.press("Space")
    assert watched.becomes("paused")


def test_tab_and_space_continue_the_run(paused):
    paused.tab_to("Continue")
    paused.page.keyboard.press("Space")
    assert paused.becomes("training")


def test_tab_and_arrow_keys_smooth_the_curve(watched):
    rough = watched.data(CURVE, "y")[1]
    watched.tab_to("Smoothing")
    watched.page.keyboard.press("ArrowRight")
    changed = watched.comes("plot.data[0].y[1] !== value", rough)
    watched.page.keyboard.press("ArrowLeft")
    assert changed


SAMPLE_IS = """[...box.querySelectorAll(".widget-slider")].some(slider =>
    slider.textContent.startsWith("Sample")
    && slider.querySelector(".widget-readout").textContent === value)"""


def test_arrow_keys_go_back_through_the_samples(watched):
    assert watched.comes_to_show("step 20")  # there are some to go through
    watched.press("Sample", "Home", "ArrowRight")
    assert watched.comes(SAMPLE_IS, "step 6")


def test_an_earlier_sample_stays_while_new_ones_come(watched):
    watched.press("Sample", "Home")
    assert watched.grows_beyond(watched.points() + 30)
    assert watched.comes(SAMPLE_IS, "step 0", seconds=0)


def test_tab_and_space_stop_the_run(runs):
    chart = runs.chart_of("keys")
    chart.tab_to("Stop")
    chart.page.keyboard.press("Space")
    assert chart.becomes("stopped")


# Stop


@pytest.fixture(scope="module")
def seconds_to_stop(runs):
    """From the click until the page says that the run has stopped, for five runs."""
    found = [runs.chart_of(name).seconds_to_stop() for name in STOPPED]
    runs.end()
    return found


def test_stop_answers_within_a_second(seconds_to_stop):
    print("seconds from the click on Stop:", [round(s, 3) for s in seconds_to_stop])
    assert statistics.median(seconds_to_stop) < 1


@pytest.fixture(scope="module")
def interrupted(runs):
    """The chart of a run that the notebook's own stop button has stopped."""
    chart = runs.chart_of("interrupted")
    runs.end()
    return chart


def test_the_notebooks_stop_button_stops_the_run(interrupted):
    assert interrupted.state() == "stopped"


def test_after_the_notebooks_stop_button_the_history_is_there(interrupted):
    printed = interrupted.lab.run_cell(1 + len(NAMES))
    assert re.match(r"\d+ evaluations", printed)


@pytest.fixture(scope="module")
def ends(seconds_to_stop, interrupted, folder):
    """Weights at the end: of a run straight through, and of two that go on."""
    job = RUN | dict(num_epochs=40)
    resumed = job | dict(checkpoint="latest", seed=9)
    jobs = {
        "straight": job | dict(folder=str(folder / "straight")),
        "after Stop": resumed | dict(folder=str(folder / STOPPED[0])),
        "after the notebook's stop": resumed | dict(folder=str(folder / "interrupted")),
    }
    outcomes = play_in_a_new_process(list(jobs.values()), folder)
    return {name: o["weights"] for name, o in zip(jobs, outcomes, strict=True)}


@pytest.mark.parametrize("name", ["after Stop", "after the notebook's stop"])
def test_a_new_process_goes_on_to_the_very_same_weights(ends, name):
    assert same(ends[name], ends["straight"])


# The explorers


@pytest.fixture(scope="module")
def logs(folder):
    """The logs of two runs whose checkpoints are in the folder."""
    found = {}
    for name, num_epochs in (("short", 3), ("long", 6)):
        play(folder / name, num_epochs=num_epochs)
        newest = list_checkpoints(folder / name)[-1]
        found[name] = RunLog.from_state(read_state(folder / name, newest))
    return found


SET_UP_EXPLORERS = f"""
import sys
sys.path.insert(0, {str(TESTS_DIR)!r})
import torch
from tiny import CharTokenizer, tiny_model
from llm_helpers.explorers import CrossEntropyExplorer, SamplingExplorer
from llm_helpers.loss_explorer import LossExplorer
"""
LOGITS = {"lamp": 2.0, "tide": 1.0, "quay": 0.5}
EXPLORERS = {
    "losses": "LossExplorer({'short': 'short', 'long': 'long'})",
    "entropy": f"CrossEntropyExplorer({LOGITS}, target='tide')",
    "sampling": "SamplingExplorer(tiny_model(seed=3), 'the la', CharTokenizer(), 8)",
}


@pytest.fixture(scope="module")
def explorers_lab(open_cells, logs):
    lab = open_cells("explorers.ipynb", [SET_UP_EXPLORERS, *EXPLORERS.values()])
    lab.run_cell(0)
    return lab


@pytest.fixture(scope="module")
def explorers(explorers_lab):
    charts = {}
    for index, name in enumerate(EXPLORERS, start=1):
        explorers_lab.start_cell(index)
        charts[name] = Shown(explorers_lab, index)
        charts[name].wait_until_drawn()
    return charts


@pytest.fixture
def losses(explorers):
    return explorers["losses"]


@pytest.fixture
def entropy(explorers):
    return explorers["entropy"]


@pytest.fixture
def sampling(explorers):
    chart = explorers["sampling"]
    chart.press("Top-k", "End")
    chart.press("Top-p", "End")
    assert chart.comes_to_show("31 of 31 tokens remain")
    return chart


def row(name, log, step):
    """What the table should say of a run that was evaluated once at that step."""
    [e] = [e for e in log.evaluations if e.global_step == step]
    losses = [e.train_loss, e.val_loss, e.val_loss - e.train_loss]
    cells = [name, str(step), f"{(step + 1) / 7:.2f}", *(f"{x:.3f}" for x in losses)]
    return "\t".join([*cells, f"{math.exp(e.val_loss):.1f}"])


def test_arrow_keys_move_the_cursor_to_other_numbers(losses, logs):
    losses.press("Step", "Home", "ArrowRight")
    assert losses.comes_to_show(row("short", logs["short"], 4))


def test_the_cursor_can_be_dragged_to_other_numbers(losses, logs):
    losses.press("Step", "End")
    place = losses.handle("Step").bounding_box()
    losses.page.mouse.move(place["x"] + 8, place["y"] + 8)
    losses.page.mouse.down()
    losses.page.mouse.move(0, place["y"] + 8, steps=5)
    losses.page.mouse.up()
    assert losses.comes_to_show(row("long", logs["long"], 0))


def test_the_cursor_moves_its_line_in_the_plot(losses):
    losses.press("Step", "Home", "ArrowRight", "ArrowRight")
    assert losses.comes("plot.layout.shapes[0].x0 === value", 6)


def test_a_run_can_be_left_out(losses):
    losses.box.get_by_label("short").uncheck()
    hidden = losses.comes("plot.data[0].visible === value", False)
    losses.box.get_by_label("short").check()
    assert hidden


@pytest.mark.parametrize("label", ["lamp", "tide", "Temperature"])
def test_a_slider_changes_the_bars(entropy, label):
    before = entropy.data(0, "y")
    entropy.press(label, "ArrowRight")
    assert entropy.comes("plot.data[0].y[1] !== value", before[1])


@pytest.mark.parametrize("label", ["lamp", "tide", "Temperature"])
def test_the_printed_loss_follows_the_bars(entropy, label):
    before = entropy.data(0, "y")
    entropy.press(label, "ArrowRight")
    changed = "plot.data[0].y[1] !== value"
    assert entropy.comes(f"{changed} && {PRINTED_LOSS_OF.format(token=1)}", before[1])


def test_another_target_has_another_printed_loss(entropy):
    entropy.box.get_by_role("combobox").select_option("lamp")
    changed = entropy.comes(PRINTED_LOSS_OF.format(token=0))
    entropy.box.get_by_role("combobox").select_option("tide")
    assert changed


PRINTED_LOSS_OF = """box.innerText.includes(
    `= ${{(-Math.log(plot.data[0].y[{token}])).toFixed(3)}} nats`)"""


def test_the_top_k_slider_changes_what_remains(sampling):
    sampling.press("Top-k", "Home", "ArrowRight", "ArrowRight")
    assert sampling.comes_to_show("3 of 31 tokens remain")


def test_the_top_p_slider_changes_what_remains(sampling):
    sampling.press("Top-p", "Home")
    assert sampling.comes_to_show("1 of 31 tokens remain")


def test_the_bars_show_what_remains(sampling):
    sampling.press("Top-k", "Home", "ArrowRight")
    assert sampling.comes("plot.data[1].y.filter(y => y > 0).length === value", 2)


def test_the_temperature_slider_changes_the_bars(sampling):
    before = sampling.data(1, "y")
    sampling.press("Temperature", "ArrowLeft")
    assert sampling.comes("plot.data[1].y[0] > value", before[0])


def test_a_prompt_that_is_typed_changes_the_bars(sampling):
    before = sampling.data(0, "y")
    sampling.box.get_by_role("textbox").fill("who lit")
    sampling.page.keyboard.press("Enter")
    assert sampling.comes("plot.data[0].y[0] !== value", before[0])


# Themes


@pytest.fixture(params=["light", "dark"])
def theme(request):
    return request.param


@pytest.fixture
def themed_explorers(theme, explorers, explorers_lab):
    explorers_lab.choose_theme(theme)
    yield explorers
    explorers_lab.choose_theme("light")


@pytest.mark.parametrize("name", EXPLORERS)
def test_the_text_of_a_plot_is_legible(themed_explorers, name):
    """4.5 is what WCAG 2 asks for small text."""
    ratios = [text["ratio"] for text in themed_explorers[name].contrasts()]
    assert min(ratios) >= 4.5


@pytest.mark.parametrize("name", EXPLORERS)
def test_text_is_light_on_dark_and_dark_on_light(themed_explorers, theme, name):
    lighter = {text["isLighter"] for text in themed_explorers[name].contrasts()}
    assert lighter == {theme == "dark"}


def test_the_live_chart_follows_the_theme(interrupted, theme):
    interrupted.lab.choose_theme(theme)
    texts = interrupted.contrasts()
    interrupted.lab.choose_theme("light")
    assert {text["isLighter"] for text in texts} == {theme == "dark"}


# Lesson 02 as it stands


@pytest.fixture(scope="module")
def lesson_lab(open_notebook, runs):
    """Lesson 02, and one cell before it: the reader's own runs are left alone."""
    runs.end()
    notebook = nbformat.read(LESSON, as_version=4)
    aside = "import llm_helpers, pathlib; llm_helpers.RUNS_DIR = pathlib.Path('runs')"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(aside))
    return open_notebook(LESSON.name, notebook)


@pytest.fixture(scope="module")
def lesson(lesson_lab):
    """The chart of lesson 02: all cells up to it were run, and its own is running."""
    cells = [nbformat.v4.new_code_cell()]  # the one that is put before it
    cells += nbformat.read(LESSON, as_version=4).cells
    code = [i for i, cell in enumerate(cells) if cell.cell_type == "code"]
    live = next(i for i in code if re.search(r"await .*\.train\(\)", cells[i].source))
    for index in code[: code.index(live)]:
        lesson_lab.run_cell(index)
    lesson_lab.start_cell(live)
    chart = Shown(lesson_lab, live)
    chart.wait_until_drawn()
    yield chart
    lesson_lab.interrupt()
    lesson_lab.wait_for_cell(live)


def test_in_lesson_02_the_curve_grows(lesson):
    assert lesson.grows_beyond(lesson.points() + 3)


def test_in_lesson_02_pause_holds_the_step_counter(lesson):
    lesson.click("Pause")
    assert lesson.becomes("paused")
    held = lesson.step()
    lesson.page.wait_for_timeout(2000)  # some steps, if it did not hold
    assert lesson.step() == held


def test_in_lesson_02_continue_moves_the_step_counter(lesson):
    held = lesson.step()
    lesson.click("Continue")
    assert lesson.step_moves_from(held)


def test_in_lesson_02_stop_ends_the_run(lesson):
    lesson.click("Stop")
    assert lesson.becomes("stopped")


# The machine and the page


@pytest.fixture(params=["live_lab", "explorers_lab", "lesson_lab"])
def used_lab(request):
    """After all the tests above: what they did is noted."""
    return request.getfixturevalue(request.param)


def test_no_request_leaves_the_machine(used_lab):
    assert used_lab.foreign_requests == []


def test_the_page_reports_no_error(used_lab):
    assert used_lab.errors == []
