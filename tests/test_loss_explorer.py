"""The loss explorer: the numbers of the log, at the cursor, run by run."""

import math
import re

import pytest
from seen import control, controls, figure, line, tags, text
from tiny import (
    adamw,
    as_the_series_wrote,
    run_settings,
    tiny_dataset,
    tiny_model,
)
from torch.utils.data import DataLoader

from llm_helpers import CheckpointError, TrainingRun, checkpoint_path, save_checkpoint
from llm_helpers.loss_explorer import LossCurve, LossExplorer
from llm_helpers.trace import LoggedEvaluation

EVALUATED = [0, 4, 6, 8, 12, 13, 16, 20, 20]


def trained(folder, **changes):
    """A run of 3 epochs of 7 batches."""
    settings = dict(num_epochs=3, eval_freq=4, save_freq=6, say=lambda line: None)
    model = changes.pop("model", None) or tiny_model()
    run = TrainingRun(**run_settings(folder, model, **settings | changes))
    for _ in run.steps():
        pass
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory):
    """4 windows of text by heart, within 30 epochs: the validation loss rises."""
    folder = tmp_path_factory.mktemp("overfitted")
    model = tiny_model(embedding_dim=32)
    return trained(
        folder,
        model=model,
        optimizer=adamw(model, lr=0.03),
        train_loader=DataLoader(tiny_dataset(4), batch_size=2, shuffle=True),
        num_epochs=30,
        eval_freq=5,
        save_freq=5,
        keep_last=1,
        keep_best=True,
    )


@pytest.fixture
def explorer(run):
    return LossExplorer(run)


@pytest.fixture
def two_runs(run, overfitted):
    return LossExplorer({"short": run, "long": overfitted})


def rows(explorer):
    """The table's rows, a list of cells each."""
    found = re.findall(r"<tr>(.*?)</tr>", explorer.table.value)
    return [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in found]


def row_at(evaluation, label="run", steps_per_epoch=7):
    """What the table should say, computed from the log."""
    e = evaluation
    return [
        label,
        str(e.global_step),
        f"{(e.global_step + 1) / steps_per_epoch:.2f}",
        f"{e.train_loss:.3f}",
        f"{e.val_loss:.3f}",
        f"{e.val_loss - e.train_loss:.3f}",
        f"{math.exp(e.val_loss):,.1f}",
    ]


def cursor(explorer):
    return control(explorer, "Step")


# The curves


@pytest.mark.parametrize("name", ["train_loss", "val_loss"])
def test_the_curves_are_the_losses_of_the_log(explorer, run, name):
    kind = {"train_loss": "training", "val_loss": "validation"}[name]
    expected = [(e.global_step, getattr(e, name)) for e in run.log.evaluations]
    assert line(explorer, f"run: {kind}") == expected


def test_on_the_axis_can_be_tokens(explorer, run):
    control(explorer, "Axis").value = "tokens"
    places = [x for x, _ in line(explorer, "run: training")]
    assert places == [e.tokens_seen for e in run.log.evaluations]


def test_on_the_axis_can_be_epochs(explorer):
    control(explorer, "Axis").value = "epochs"
    places = [x for x, _ in line(explorer, "run: training")]
    assert places == pytest.approx([(step + 1) / 7 for step in EVALUATED])


@pytest.mark.parametrize("axis", ["steps", "tokens", "epochs"])
def test_the_axis_names_its_unit(explorer, axis):
    control(explorer, "Axis").value = axis
    assert figure(explorer).layout.xaxis.title.text == axis


def test_the_losses_can_be_seen_on_a_log_scale(explorer):
    control(explorer, "Log scale").value = True
    assert figure(explorer).layout.yaxis.type == "log"


def test_validation_differs_from_training_in_more_than_colour(explorer):
    train, val = figure(explorer).data[:2]
    assert train.line.dash != val.line.dash


def test_runs_have_different_colours(two_runs):
    colours = {t.line.color for t in figure(two_runs).data if "training" in str(t.name)}
    assert len(colours) == 2


# The cursor


def test_the_cursor_stops_at_every_evaluation(explorer):
    assert cursor(explorer).options == (0, 4, 6, 8, 12, 13, 16, 20)


def test_the_cursor_begins_at_the_end(explorer):
    assert cursor(explorer).value == 20


def test_the_table_names_its_columns(explorer):
    assert rows(explorer)[0] == [
        *("run", "step", "epoch", "training", "validation", "gap", "perplexity"),
    ]


@pytest.mark.parametrize("index", [0, 2, 6])
def test_the_table_reads_the_losses_at_the_cursor(explorer, run, index):
    cursor(explorer).value = EVALUATED[index]
    assert rows(explorer)[1:] == [row_at(run.log.evaluations[index])]


def test_where_a_step_was_evaluated_twice_the_later_one_is_read(explorer, run):
    cursor(explorer).value = 20
    assert rows(explorer)[1:] == [row_at(run.log.evaluations[-1])]


def test_the_sample_at_the_cursor_is_shown(explorer, run):
    cursor(explorer).value = 8
    assert text(explorer.samples.value) == "run" + run.log.evaluations[3].sample


@pytest.mark.parametrize("axis", ["steps", "tokens", "epochs"])
def test_a_line_stands_at_the_cursor(explorer, run, axis):
    control(explorer, "Axis").value = axis
    cursor(explorer).value = 8
    place = {"steps": 8, "tokens": run.log.tokens_seen[8], "epochs": 9 / 7}[axis]
    shapes = [s for s in figure(explorer).layout.shapes if s.type == "line"]
    assert [(s.x0, s.x1) for s in shapes] == [(place, place)]


def test_circles_mark_both_losses_at_the_cursor(explorer, run):
    cursor(explorer).value = 8
    e = run.log.evaluations[3]
    circles = figure(explorer).data[3]
    assert (circles.x, circles.y) == ((8, 8), (e.train_loss, e.val_loss))


# The best checkpoint, and where the loss rises


def test_a_star_marks_the_best_checkpoint(overfitted):
    number, _ = overfitted.best
    [best] = [e for e in overfitted.log.evaluations if e.checkpoint == number]
    shown = line(LossExplorer(overfitted), f"run: best checkpoint ({number})")
    assert shown == [(best.global_step, best.val_loss)]


def test_where_the_lowest_loss_was_not_saved_the_star_is_at_the_best_that_was(tmp_path):
    run = logged(tmp_path, (0, 4.0, 0), (10, 2.0), (20, 3.0, 1), best=(1, 3.0))
    assert line(LossExplorer(run), "run: best checkpoint (1)") == [(20, 3.0)]


def test_without_a_checkpoint_the_star_marks_the_lowest_loss(tmp_path):
    run = logged(tmp_path, (0, 4.0), (10, 2.0), (20, 3.0))
    assert line(LossExplorer(run), "run: lowest") == [(10, 2.0)]


def test_a_best_checkpoint_from_before_the_log_is_not_marked_elsewhere(tmp_path):
    run = logged(tmp_path, (10, 4.0, 5), (20, 3.0), best=(2, 1.0))
    assert line(LossExplorer(run), "run: lowest") == [(20, 3.0)]


def test_the_shade_begins_at_the_lowest_validation_loss(tmp_path):
    run = logged(tmp_path, (0, 4.0), (10, 2.0), (20, 3.0), (30, 2.5))
    assert shaded(LossExplorer(run)) == [(10, 30)]


@pytest.mark.parametrize(
    ("axis", "ends"), [("tokens", (176, 496)), ("epochs", (11 / 7, 31 / 7))]
)
def test_the_shade_follows_the_axis(tmp_path, axis, ends):
    explorer = LossExplorer(logged(tmp_path, (0, 4.0), (10, 2.0), (30, 2.5)))
    control(explorer, "Axis").value = axis
    assert shaded(explorer) == [ends]


def test_where_the_loss_never_rises_nothing_is_shaded(tmp_path):
    run = logged(tmp_path, (0, 4.0), (10, 2.0), (20, 2.0))
    assert shaded(LossExplorer(run)) == []


def test_a_loss_that_has_risen_is_shaded_in_a_real_run(overfitted):
    evaluations = overfitted.log.evaluations
    lowest = min(evaluations, key=lambda e: e.val_loss)
    ends = (lowest.global_step, evaluations[-1].global_step)
    assert shaded(LossExplorer(overfitted)) == [ends]


def shaded(explorer):
    return [(s.x0, s.x1) for s in figure(explorer).layout.shapes if s.type == "rect"]


# Several runs


def test_each_run_has_its_row(two_runs, run, overfitted):
    assert rows(two_runs)[1:] == [
        row_at(run.log.evaluations[-1], "short"),
        row_at(overfitted.log.evaluations[-1], "long", steps_per_epoch=2),
    ]


def test_a_run_that_has_ended_before_the_cursor_is_read_at_its_end(two_runs):
    cursor(two_runs).value = 50
    assert [row[1] for row in rows(two_runs)[1:]] == ["20", "50"]


def test_a_run_not_evaluated_at_the_cursor_is_read_before_it(two_runs):
    cursor(two_runs).value = 10  # of the long run
    assert [row[1] for row in rows(two_runs)[1:]] == ["8", "10"]


def test_a_run_that_begins_after_the_cursor_is_read_at_its_beginning(tmp_path):
    early, late = logged(tmp_path, (0, 4.0)), logged(tmp_path, (10, 2.0))
    explorer = LossExplorer({"early": early, "late": late})
    cursor(explorer).value = 0
    assert [row[1] for row in rows(explorer)[1:]] == ["0", "10"]


def test_a_run_that_is_not_chosen_has_no_row(two_runs):
    control(two_runs, "short").value = False
    assert [row[0] for row in rows(two_runs)[1:]] == ["long"]


def test_a_run_that_is_not_chosen_is_not_drawn(two_runs):
    control(two_runs, "short").value = False
    drawn = {t.legendgroup for t in figure(two_runs).data if t.visible}
    assert drawn == {"long"}


def test_a_run_that_is_not_chosen_has_no_shade(two_runs, overfitted):
    control(two_runs, "long").value = False
    steps = [e.global_step for e in overfitted.log.evaluations]
    assert steps[-1] not in [end for ends in shaded(two_runs) for end in ends]


def test_a_run_that_is_not_chosen_shows_no_sample(two_runs, run):
    control(two_runs, "long").value = False
    assert text(two_runs.samples.value) == "short" + run.log.evaluations[-1].sample


def test_a_run_can_be_chosen_again(two_runs):
    before = rows(two_runs)
    control(two_runs, "short").value = False
    control(two_runs, "short").value = True
    assert rows(two_runs) == before


def test_all_runs_can_be_left_out(two_runs):
    control(two_runs, "short").value = control(two_runs, "long").value = False
    assert rows(two_runs)[1:] == []


def test_a_single_run_needs_no_choice(explorer):
    assert {c.description for c in controls(explorer)} == {"Step", "Axis", "Log scale"}


# From a folder


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_a_folder_shows_what_the_run_shows(run, kind):
    folder = kind(run.checkpoint_dir)
    assert LossCurve.of("run", folder) == LossCurve.of("run", run)


def test_a_folder_has_the_same_table(run, explorer):
    from_folder = LossExplorer(run.checkpoint_dir)
    assert from_folder.table.value == explorer.table.value


def test_a_folder_has_the_same_figure(overfitted):
    live, read = LossExplorer(overfitted), LossExplorer(overfitted.checkpoint_dir)
    assert drawing(read) == drawing(live)


def drawing(explorer):
    """All of a figure but the names that plotly gives to its lines."""
    found = figure(explorer).to_dict()
    for trace in found["data"]:
        del trace["uid"]
    return found


def test_a_run_and_a_folder_can_be_compared(run):
    explorer = LossExplorer({"live": run, "folder": run.checkpoint_dir})
    live, folder = (row[1:] for row in rows(explorer)[1:])
    assert live == folder


def test_a_stopped_run_can_be_explored(tmp_path):
    settings = dict(num_epochs=3, eval_freq=4, say=lambda line: None)
    stopped = TrainingRun(**run_settings(tmp_path, **settings))
    for record in stopped.steps():
        stopped.stop_requested = record.global_step == 8
    assert LossCurve.of("run", tmp_path) == LossCurve.of("run", stopped)


# What cannot be explored


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        LossExplorer(tmp_path)
    assert (
        str(caught.value) == f"no checkpoint in {tmp_path}; check the path of the run"
    )


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="check the path of the run"):
        LossExplorer(tmp_path / "typo")


NO_LOSSES = r"holds no losses; explore a run of pretrain_model or TrainingRun$"


def test_a_folder_of_weights_alone_is_refused(tmp_path):
    trained(tmp_path)
    as_the_series_wrote(tmp_path)
    with pytest.raises(ValueError, match=NO_LOSSES):
        LossExplorer(tmp_path)


def test_a_folder_of_another_loop_is_refused(tmp_path):
    model = tiny_model()
    save_checkpoint(tmp_path, 0, model, adamw(model), {"my step": 5})
    with pytest.raises(ValueError, match=NO_LOSSES):
        LossExplorer(tmp_path)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    trained(tmp_path)
    checkpoint_path(tmp_path, "state", 6).write_bytes(b"garbage")
    with pytest.raises(CheckpointError, match="is damaged"):
        LossExplorer(tmp_path)


def test_a_run_without_a_validation_loader_is_refused(tmp_path):
    with pytest.raises(ValueError, match="run 'mine' has no validation losses"):
        LossExplorer({"mine": trained(tmp_path, val_loader=None)})


def test_a_run_that_has_not_been_trained_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"train it with a val_loader$"):
        LossExplorer(TrainingRun(**run_settings(tmp_path)))


# Names and samples are shown as they are


MARKUP = "<script>alert(1)</script> & <b>bold</b>"


def test_markup_in_a_name_is_shown_as_it_is(run):
    explorer = LossExplorer({MARKUP: run})
    assert MARKUP in text(explorer.table.value)


def test_markup_in_a_sample_is_shown_as_it_is(tmp_path):
    explorer = LossExplorer(logged(tmp_path, (0, 4.0), sample=MARKUP))
    assert text(explorer.samples.value) == "run" + MARKUP


def test_markup_in_names_and_samples_does_nothing(tmp_path):
    explorer = LossExplorer({MARKUP: logged(tmp_path, (0, 4.0), sample=MARKUP)})
    used = tags(explorer.table.value) | tags(explorer.samples.value)
    assert used == {"table", "tr", "th", "td", "b", "pre"}


def logged(folder, *entries, best=None, sample=""):
    """A run of 7 steps an epoch, with evaluations (step, validation loss, checkpoint).

    A checkpoint that is not given was not written.
    """
    run = TrainingRun(**run_settings(folder))
    for step, val_loss, *number in entries:
        checkpoint = number[0] if number else None
        tokens = (step + 1) * 16
        run.log.evaluations.append(
            LoggedEvaluation(step, tokens, val_loss - 0.5, val_loss, sample, checkpoint)
        )
    run.best = best
    return run


# The floor


def test_a_floor_is_drawn_under_all_runs(run, overfitted):
    explorer = LossExplorer({"short": run, "long": overfitted}, floor=0.75)
    assert line(explorer, "floor, 0.750") == [(0, 0.75), (59, 0.75)]


def test_the_floor_follows_the_axis(run):
    explorer = LossExplorer(run, floor=0.75)
    control(explorer, "Axis").value = "epochs"
    assert line(explorer, "floor, 0.750") == [(1 / 7, 0.75), (3.0, 0.75)]


def test_the_floor_stays_where_the_cursor_moves(run):
    explorer = LossExplorer(run, floor=0.75)
    control(explorer, "Step").value = 4
    assert line(explorer, "floor, 0.750") == [(0, 0.75), (20, 0.75)]


def test_without_a_floor_none_is_drawn(explorer):
    assert not [t.name for t in figure(explorer).data if "floor" in (t.name or "")]
