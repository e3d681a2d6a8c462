"""The log of a run: what each step and each evaluation was, kept in its checkpoints."""

import math

import pytest
from tiny import BATCH_SIZE, CONTEXT_LEN, run_settings, tiny_model

from llm_helpers import EpochRecord, TrainingRun, list_checkpoints, read_state
from llm_helpers.trace import LoggedEvaluation, RunLog

TOKENS_PER_STEP = BATCH_SIZE * CONTEXT_LEN


def new_run(folder, seed=1, **changes):
    """3 epochs of 7 batches: evaluated at steps 0, 4, 8, ..., saved at 0, 6, 12, ...

    At each epoch's end, after steps 6, 13 and 20, it is evaluated and saved, too.
    """
    model = tiny_model(dropout=0.2, seed=seed)
    settings = dict(num_epochs=3, eval_freq=4, save_freq=6, say=lambda line: None)
    return TrainingRun(**run_settings(folder, model, **settings | changes))


@pytest.fixture(scope="module")
def run_and_records(tmp_path_factory):
    run = new_run(tmp_path_factory.mktemp("run"))
    return run, list(run.steps())


@pytest.fixture
def run(run_and_records):
    return run_and_records[0]


@pytest.fixture
def steps(run_and_records):
    return [r for r in run_and_records[1] if not isinstance(r, EpochRecord)]


@pytest.fixture
def evaluated(run_and_records):
    return [r for r in run_and_records[1] if r.evaluation is not None]


def test_before_training_the_log_is_empty(tmp_path):
    assert new_run(tmp_path).log == RunLog([], [], [])


def test_each_step_has_the_loss_of_its_batch(run, steps):
    assert run.log.batch_losses == [record.loss for record in steps]


def test_each_step_has_the_tokens_seen_after_it(run):
    assert run.log.tokens_seen == [TOKENS_PER_STEP * (i + 1) for i in range(21)]


def test_each_evaluation_is_logged_with_its_step(run):
    steps = [e.global_step for e in run.log.evaluations]
    assert steps == [0, 4, 6, 8, 12, 13, 16, 20, 20]


def test_each_evaluation_is_logged_with_the_tokens_seen(run):
    tokens = [TOKENS_PER_STEP * (e.global_step + 1) for e in run.log.evaluations]
    assert [e.tokens_seen for e in run.log.evaluations] == tokens


def test_each_evaluation_is_logged_with_its_losses_and_sample(run, evaluated):
    logged = [(e.train_loss, e.val_loss, e.sample) for e in run.log.evaluations]
    assert logged == [tuple(record.evaluation) for record in evaluated]


def test_each_evaluation_is_logged_with_the_checkpoint_written_then(run, evaluated):
    logged = [e.checkpoint for e in run.log.evaluations]
    assert logged == [record.checkpoint for record in evaluated]


def test_an_evaluation_without_a_checkpoint_has_no_number(run):
    numbers = {e.global_step: e.checkpoint for e in run.log.evaluations}
    assert (numbers[0], numbers[4], numbers[12]) == (0, None, 3)


def test_without_a_validation_loader_evaluations_have_samples_only(tmp_path):
    run = new_run(tmp_path, val_loader=None)
    list(run.steps())
    kinds = {tuple(map(type, e[2:5])) for e in run.log.evaluations}
    assert kinds == {(type(None), type(None), str)}


# In a checkpoint


def saved_log(folder, number):
    return RunLog.from_state(read_state(folder, number))


def test_the_last_checkpoint_holds_the_whole_log(run):
    folder = run.checkpoint_dir
    assert saved_log(folder, list_checkpoints(folder)[-1]) == run.log


def test_an_earlier_checkpoint_holds_the_log_up_to_it(run):
    log = run.log
    assert saved_log(run.checkpoint_dir, 3) == RunLog(
        log.tokens_seen[:13], log.batch_losses[:13], log.evaluations[:5]
    )


def test_the_log_is_saved_as_plain_values(run):
    kinds = {type(value) for value in read_state(run.checkpoint_dir, 3)["log"].values()}
    assert kinds == {list}


def test_evaluations_read_from_a_checkpoint_have_named_entries(run):
    log = saved_log(run.checkpoint_dir, 3)
    assert {type(evaluation) for evaluation in log.evaluations} == {LoggedEvaluation}


# after step 0, in an epoch, at its end, in the last epoch
@pytest.mark.parametrize("number", [0, 2, 3, 5])
def test_after_resuming_the_log_is_that_of_a_run_without_a_break(tmp_path, run, number):
    killed = new_run(tmp_path)
    steps = killed.steps()
    while killed.checkpoint != number:
        next(steps)
    steps.close()
    resumed = new_run(tmp_path, seed=9, checkpoint="latest")
    list(resumed.steps())
    assert resumed.log == run.log


def test_resuming_from_an_earlier_number_drops_what_was_logged_after_it(tmp_path, run):
    list(new_run(tmp_path).steps())
    resumed = new_run(tmp_path, seed=9, checkpoint=2)
    list(resumed.steps())
    assert resumed.log == run.log


def test_after_a_stop_the_log_goes_on_without_a_gap(tmp_path, run):
    first = new_run(tmp_path)
    for record in first.steps():
        first.stop_requested = record.global_step == 8
    resumed = new_run(tmp_path, seed=9, checkpoint="latest")
    list(resumed.steps())
    assert resumed.log == run.log


# A checkpoint from before there were logs


@pytest.fixture
def old_log(run):
    state = read_state(run.checkpoint_dir, 3)
    del state["log"]
    return RunLog.from_state(state)


def test_the_steps_before_a_log_have_unknown_losses(old_log):
    assert [math.isnan(loss) for loss in old_log.batch_losses] == [True] * 13


def test_the_steps_before_a_log_have_unknown_tokens(old_log):
    assert [math.isnan(tokens) for tokens in old_log.tokens_seen] == [True] * 13


def test_the_evaluations_before_a_log_are_not_there(old_log):
    assert old_log.evaluations == []
