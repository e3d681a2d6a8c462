"""The one training loop: steps, evaluations, checkpoints, printed trace."""

import contextlib
import gc
import io
import math
import re
import shutil
from collections import namedtuple
from itertools import pairwise

import pytest
import torch
from tiny import (
    BATCH_SIZE,
    CONTEXT_LEN,
    CharTokenizer,
    adamw,
    copy_of,
    pretrain,
    run_settings,
    same,
    tiny_dataset,
    tiny_model,
    train_batches,
    val_batches,
)
from torch import nn
from torch.utils.data import DataLoader

from llm_helpers import (
    EpochRecord,
    StepRecord,
    TrainingRun,
    calc_loss_batch,
    calc_loss_loader,
    generate_text,
    list_checkpoints,
    pretrain_model,
    read_state,
    val_and_save,
)

TOKENS_PER_BATCH = BATCH_SIZE * CONTEXT_LEN
VOCABULARY_SIZE = CharTokenizer.n_vocab


class Bigram(nn.Module):
    """The least that can be trained: ids (B, T) to logits (B, T, V)."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(VOCABULARY_SIZE, VOCABULARY_SIZE)

    def forward(self, ids):
        return self.table(ids)


# The series' own run: 7 batches, 10 epochs, both frequencies 5


class Outcome:
    """What the series' run returned, printed and wrote."""

    def __init__(self, folder):
        self.settings = run_settings(folder, num_epochs=10)
        self.model = self.settings["model"]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            self.history = pretrain_model(**self.settings)
        self.lines = printed.getvalue().removesuffix("\n").split("\n")
        self.checkpoints = list_checkpoints(folder)
        self.files = sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def series_run(tmp_path_factory):
    return Outcome(tmp_path_factory.mktemp("series"))


def expected_trace():
    """One regular expression for each line that the series' run prints."""

    def evaluation(epoch, step):
        return [
            rf"Epoch {epoch} \(Step {step:06d}\): "
            r"Train loss \d+\.\d{3}, Val loss \d+\.\d{3}",
            r"Generated Sample Text: the .{50}",
            "=" * 69,
        ]

    yield r"This run writes 24 checkpoints of \d\.\d MB and keeps them all: \d\.\d MB\."
    step = checkpoint = 0
    for epoch in range(1, 11):
        for batch in range(7):
            yield rf"Epoch {epoch} \(Batch {batch:06d}\): Train loss \d+\.\d{{3}}"
            if step % 5 == 0:
                yield from evaluation(epoch, step)
                checkpoint += 1
            step += 1
        yield from evaluation(epoch, step - 1)
        yield f"Epoch {epoch} finished, checkpoint: {checkpoint:06d}"
        checkpoint += 1


def test_the_trace_has_the_series_lines_in_their_order(series_run):
    patterns = list(expected_trace())
    unlike = [
        (line, pattern)
        for line, pattern in zip(series_run.lines, patterns, strict=True)
        if not re.fullmatch(pattern, line)
    ]
    assert unlike == []


def test_only_periodic_evaluations_enter_the_lists(series_run):
    assert [len(entries) for entries in series_run.history] == [14, 14, 14]


def test_the_result_has_exactly_three_named_lists(series_run):
    assert series_run.history._fields == (
        *("train_losses", "val_losses", "track_tokens_seen"),
    )


def test_the_lists_hold_plain_numbers(series_run):
    assert [type(entries[0]) for entries in series_run.history] == [float, float, int]


def test_tokens_are_counted_after_each_evaluated_step(series_run):
    expected = [(step + 1) * TOKENS_PER_BATCH for step in range(0, 70, 5)]
    assert series_run.history.track_tokens_seen == expected


def test_checkpoints_are_numbered_0_to_23(series_run):
    assert series_run.checkpoints == list(range(24))


def test_a_checkpoint_is_model_optimizer_state_and_manifest(series_run):
    assert series_run.files == [
        *(f"manifest_{number:06d}.json" for number in range(24)),
        *(f"model_{number:06d}.pth" for number in range(24)),
        *(f"optimizer_{number:06d}.pth" for number in range(24)),
        *(f"state_{number:06d}.pth" for number in range(24)),
    ]


def test_the_lists_are_the_losses_of_the_periodic_lines(series_run):
    periodic = [
        re.search(r"Train loss (\S+), Val loss (\S+)", line).groups()
        for before, line in pairwise(series_run.lines)
        if "Val loss" in line and "Batch" in before
        # an epoch's end follows the batch's line too, where no evaluation was due
        if int(re.search(r"Step (\d+)", line)[1]) % 5 == 0
    ]
    train_losses, val_losses, _ = series_run.history
    assert periodic == [
        (f"{train:.3f}", f"{val:.3f}")
        for train, val in zip(train_losses, val_losses, strict=True)
    ]


def test_the_last_evaluation_is_of_the_final_weights(series_run):
    loss = calc_loss_loader(val_batches(), series_run.model, "cpu", 1)
    line = [line for line in series_run.lines if "Val loss" in line][-1]
    assert line.endswith(f"Val loss {loss:.3f}")


def test_the_last_sample_is_greedy_text_of_the_final_weights(series_run):
    text = generate_text(
        series_run.model, "the ", 50, CharTokenizer(), CONTEXT_LEN, 1, True
    )
    line = [line for line in series_run.lines if "Sample" in line][-1]
    assert line == f"Generated Sample Text: {text}"


def test_training_lowers_the_loss(tmp_path):
    model = tiny_model()
    before = calc_loss_loader(train_batches(), model, "cpu")
    optimizer = adamw(model, lr=1e-2)
    pretrain(tmp_path, model, optimizer=optimizer, num_epochs=3, eval_freq=99)
    assert calc_loss_loader(train_batches(), model, "cpu") < before - 0.5


# Where a periodic event meets an epoch's end


@pytest.fixture
def meeting(tmp_path, capsys):
    """Lines of one epoch of 6 steps: both frequencies 5 meet its end at step 5."""
    pretrain(tmp_path, train_loader=train_batches(num_batches=6))
    return capsys.readouterr().out.splitlines()


def test_a_periodic_evaluation_at_an_epochs_end_happens_beside_the_epochs(meeting):
    assert sum("(Step 000005)" in line for line in meeting) == 2


def test_a_periodic_checkpoint_at_an_epochs_end_happens_beside_the_epochs(
    meeting, tmp_path
):
    assert list_checkpoints(tmp_path) == [0, 1, 2]


def test_the_epochs_end_names_the_later_of_two_checkpoints(meeting):
    assert meeting[-1] == "Epoch 1 finished, checkpoint: 000002"


# What is printed


def test_without_a_validation_loader_the_lists_are_empty(tmp_path):
    history = pretrain_model(**run_settings(tmp_path, val_loader=None))
    assert history == ([], [], [])


def test_without_a_validation_loader_samples_are_still_printed(tmp_path, capsys):
    pretrain(tmp_path, val_loader=None)
    printed = capsys.readouterr().out
    assert len(re.findall("Generated Sample Text: the ", printed)) == 3


def test_without_a_validation_loader_no_validation_loss_is_printed(tmp_path, capsys):
    pretrain(tmp_path, val_loader=None)
    assert "Val loss" not in capsys.readouterr().out


def test_print_freq_thins_out_the_lines_of_batches(tmp_path, capsys):
    pretrain(tmp_path, print_freq=3)
    batches = re.findall(r"\(Batch (\d+)\)", capsys.readouterr().out)
    assert batches == ["000000", "000003", "000006"]


def test_print_freq_leaves_the_evaluations_lines_alone(tmp_path, capsys):
    pretrain(tmp_path, print_freq=3)
    assert capsys.readouterr().out.count("Val loss") == 3


def test_two_runs_never_share_their_lists(tmp_path):
    one = pretrain_model(**run_settings(tmp_path / "one"))
    other = pretrain_model(**run_settings(tmp_path / "other"))
    assert one.val_losses is not other.val_losses


# The weights that come out


def plainly_trained(model, loader, num_epochs, optimizer):
    """The loop as a textbook has it: nothing but optimizer steps."""
    for _ in range(num_epochs):
        for inputs, targets in loader:
            optimizer.zero_grad()
            logits = model(inputs)
            nn.functional.cross_entropy(
                logits.flatten(0, 1), targets.flatten()
            ).backward()
            optimizer.step()
    return model.state_dict()


@pytest.mark.parametrize("own_generator", [True, False])
def test_the_weights_are_those_of_a_plain_loop(tmp_path, own_generator):
    def loader():
        generator = torch.Generator().manual_seed(5) if own_generator else None
        return train_batches(generator)

    model = tiny_model(dropout=0.3)
    expected = plainly_trained(model, loader(), 2, adamw(model))
    trained = pretrain(
        tmp_path, tiny_model(dropout=0.3), train_loader=loader(), num_epochs=2
    )
    assert same(dict(trained.state_dict()), dict(expected))


WATCHING = {
    "eval_freq": dict(eval_freq=1),
    "eval_iter": dict(eval_iter=3),
    "start_context": dict(start_context="a lamp, "),
    "save_freq": dict(save_freq=1),
    "print_freq": dict(print_freq=4),
    "val_loader": dict(val_loader=None),
    "all": dict(eval_freq=2, eval_iter=2, start_context="x", save_freq=3, print_freq=9),
}


@pytest.mark.parametrize("changes", WATCHING.values(), ids=WATCHING)
@pytest.mark.parametrize("own_generator", [True, False])
def test_watching_leaves_the_weights_bit_identical(tmp_path, changes, own_generator):
    def trained(folder, **changes):
        generator = torch.Generator().manual_seed(5) if own_generator else None
        model = tiny_model(dropout=0.3)
        loader = train_batches(generator)
        pretrain(folder, model, train_loader=loader, num_epochs=2, **changes)
        return dict(model.state_dict())

    assert same(trained(tmp_path / "one"), trained(tmp_path / "other", **changes))


def test_watching_leaves_the_global_rng_where_training_left_it(tmp_path):
    states = []
    for folder, eval_freq in (("one", 1), ("other", 5)):
        pretrain(tmp_path / folder, tiny_model(dropout=0.3), eval_freq=eval_freq)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_watching_leaves_the_weights_alone_with_persistent_workers(tmp_path):
    def trained(folder, **changes):
        model = tiny_model(dropout=0.3)
        loader = train_batches(num_workers=1, persistent_workers=True)
        pretrain(folder, model, train_loader=loader, **changes)
        return dict(model.state_dict())

    assert same(
        trained(tmp_path / "one", eval_freq=99, save_freq=99),
        trained(tmp_path / "other", eval_freq=1, save_freq=1),
    )


class AlwaysDropping(Bigram):
    """Its dropout knows no eval mode, as with `F.dropout(x)`."""

    def forward(self, ids):
        return nn.functional.dropout(super().forward(ids), 0.3)


def test_watching_leaves_the_weights_alone_where_dropout_knows_no_eval_mode(tmp_path):
    def trained(folder, **changes):
        torch.manual_seed(1)
        model = AlwaysDropping()
        pretrain(folder, model, **changes)
        return dict(model.state_dict())

    assert same(
        trained(tmp_path / "one", eval_freq=99),
        trained(tmp_path / "other", eval_freq=1),
    )


def test_dropout_stays_on_after_an_evaluation(tmp_path):
    model = tiny_model(dropout=0.3)
    run = TrainingRun(**run_settings(tmp_path, model, eval_freq=1))
    assert [model.training for _ in run.steps()] == [True] * (7 + 1)


def test_a_model_in_eval_mode_is_trained_in_train_mode(tmp_path):
    model = tiny_model(dropout=0.3).eval()
    run = TrainingRun(**run_settings(tmp_path, model))
    assert [model.training for _ in run.steps()] == [True] * (7 + 1)


# Any model, any loader


class LearnedPositions(Bigram):
    """Its `pos_emb` is a plain parameter, as many implementations have it."""

    def __init__(self):
        super().__init__()
        self.pos_emb = nn.Parameter(torch.zeros(1, 64, VOCABULARY_SIZE))

    def forward(self, ids):
        return self.table(ids) + self.pos_emb[:, : ids.shape[1]]


class RotaryPositions(Bigram):
    """Its `pos_emb` is a module without weights."""

    def __init__(self):
        super().__init__()
        self.pos_emb = nn.Identity()


@pytest.mark.parametrize("make", [Bigram, LearnedPositions, RotaryPositions])
def test_any_model_from_ids_to_logits_can_be_trained(tmp_path, make):
    torch.manual_seed(1)
    history = pretrain_model(**run_settings(tmp_path, make()))
    assert len(history.val_losses) == 2


def test_a_list_of_batches_serves_as_loaders(tmp_path):
    batches = list(train_batches())
    history = pretrain_model(
        **run_settings(tmp_path, train_loader=batches, val_loader=batches)
    )
    assert history.train_losses == history.val_losses


def test_any_optimizer_can_be_used(tmp_path):
    model = tiny_model()
    before = copy_of(dict(model.state_dict()))
    pretrain(tmp_path, model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    assert not same(dict(model.state_dict()), before)


def test_the_optimizers_settings_are_left_alone(tmp_path):
    model = tiny_model()
    optimizer = adamw(model)
    pretrain(tmp_path, model, optimizer=optimizer)
    [group] = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (6e-4, 0.1)


def test_a_ragged_last_batch_is_trained_on(tmp_path):
    loader = DataLoader(tiny_dataset(5), batch_size=2)
    run = TrainingRun(**run_settings(tmp_path, train_loader=loader))
    tokens_seen = [record.tokens_seen for record in run.steps()]
    assert tokens_seen == [16, 32, 40, 40]  # the last is of the epoch's end


# Records of the steps


@pytest.fixture
def all_records(tmp_path):
    """All records of two epochs of 7 batches; both frequencies are 5."""
    run = TrainingRun(**run_settings(tmp_path, num_epochs=2))
    return list(run.steps())


@pytest.fixture
def records(all_records):
    """Those of the steps."""
    return [record for record in all_records if isinstance(record, StepRecord)]


@pytest.fixture
def epoch_records(all_records):
    """Those of the epochs."""
    return [record for record in all_records if isinstance(record, EpochRecord)]


def test_there_is_a_record_for_every_step(records):
    assert [record.global_step for record in records] == list(range(14))


def test_a_record_names_epoch_and_batch_from_0(records):
    assert [(record.epoch, record.batch) for record in records] == [
        (epoch, batch) for epoch in range(2) for batch in range(7)
    ]


def test_a_record_counts_its_own_steps_tokens(records):
    expected = [TOKENS_PER_BATCH * (step + 1) for step in range(14)]
    assert [record.tokens_seen for record in records] == expected


def test_a_record_has_an_evaluation_where_one_was_due(records):
    due = [record.global_step for record in records if record.evaluation]
    assert due == [0, 5, 10]


def test_a_record_names_the_periodic_checkpoint(records):
    written = {r.global_step: r.checkpoint for r in records if r.checkpoint is not None}
    assert written == {0: 0, 5: 1, 10: 3}


def test_an_epochs_record_follows_that_of_its_last_step(all_records):
    places = [i for i, r in enumerate(all_records) if isinstance(r, EpochRecord)]
    assert places == [7, 15]


def test_an_epochs_record_names_its_checkpoint(epoch_records):
    assert {r.global_step: r.checkpoint for r in epoch_records} == {6: 2, 13: 4}


def test_an_epochs_record_names_its_epoch_from_0(epoch_records):
    assert [record.epoch for record in epoch_records] == [0, 1]


def test_an_epochs_record_counts_all_tokens_seen(epoch_records):
    expected = [7 * TOKENS_PER_BATCH, 14 * TOKENS_PER_BATCH]
    assert [record.tokens_seen for record in epoch_records] == expected


def test_an_epochs_record_has_an_evaluation(epoch_records):
    assert [type(record.evaluation.val_loss) for record in epoch_records] == [float] * 2


def test_a_records_loss_is_that_of_its_batch_before_the_step(tmp_path):
    batches = list(train_batches())
    model = tiny_model()
    expected = calc_loss_batch(*batches[0], model, "cpu").item()
    run = TrainingRun(**run_settings(tmp_path, model, train_loader=batches))
    assert next(run.steps()).loss == expected


def test_a_records_loss_is_a_float(records):
    assert {type(record.loss) for record in records} == {float}


def test_an_evaluation_without_a_validation_loader_has_no_losses(tmp_path):
    run = TrainingRun(**run_settings(tmp_path, val_loader=None))
    evaluation = next(run.steps()).evaluation
    assert (evaluation.train_loss, evaluation.val_loss) == (None, None)


def test_between_steps_no_graph_is_held(tmp_path):
    steps = TrainingRun(**run_settings(tmp_path)).steps()
    next(steps)
    with_graph = [
        thing
        for thing in gc.get_objects()
        if type(thing) is torch.Tensor and thing.grad_fn is not None
    ]
    steps.close()
    assert with_graph == []


def test_between_steps_gradients_are_enabled(tmp_path):
    steps = TrainingRun(**run_settings(tmp_path)).steps()
    next(steps)
    assert torch.is_grad_enabled()
    steps.close()


def test_the_history_grows_while_the_run_is_driven(tmp_path):
    run = TrainingRun(**run_settings(tmp_path, eval_freq=1))
    lengths = [len(run.history.val_losses) for _ in run.steps()]
    assert lengths == [1, 2, 3, 4, 5, 6, 7, 7]  # an epoch's end adds none


def test_nothing_is_trained_before_the_first_step_is_asked_for(tmp_path):
    model = tiny_model()
    before = copy_of(dict(model.state_dict()))
    TrainingRun(**run_settings(tmp_path, model)).steps()
    assert same(dict(model.state_dict()), before)


def test_a_run_prints_by_what_it_was_given_to_say_things_with(tmp_path, capsys):
    list(TrainingRun(**run_settings(tmp_path), say=lambda line: None).steps())
    assert capsys.readouterr().out == ""


def test_a_run_says_first_what_it_will_write(tmp_path):
    said = []
    next(TrainingRun(**run_settings(tmp_path), say=said.append).steps())
    weights = sum(p.numel() * 4 for p in tiny_model().parameters())
    assert said == [
        f"This run writes 3 checkpoints of {3 * weights / 1e6:.1f} MB "
        f"and keeps them all: {9 * weights / 1e6:.1f} MB."
    ]


def test_a_run_that_prunes_says_how_much_it_keeps(tmp_path):
    said = []
    run = TrainingRun(**run_settings(tmp_path), say=said.append, keep_last=2)
    next(run.steps())
    assert re.search(
        r"writes 3 checkpoints .* and keeps 2 of them: 0\.\d MB\.$", said[0]
    )


def test_a_run_warns_where_the_disk_has_less_than_it_will_write(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**9, 0, 1_100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    said = []
    next(TrainingRun(**run_settings(tmp_path, num_epochs=99), say=said.append).steps())
    assert said[1] == (
        "Warning: only 1.1 MB are free there; keep fewer with keep_last, or choose "
        "another checkpoint_dir."
    )


# A loop of one's own


def in_a_loop_of_ones_own(folder, **changes):
    """The series' loop around `val_and_save`; returns what each call returned."""
    settings = run_settings(folder, **changes)
    model, checkpoint, results = settings["model"], None, []
    for step, (inputs, targets) in enumerate(settings["train_loader"]):
        settings["optimizer"].zero_grad()
        calc_loss_batch(inputs, targets, model, "cpu").backward()
        settings["optimizer"].step()
        checkpoint, *losses = val_and_save(
            *(model, settings["optimizer"]),
            *(settings["train_loader"], settings["val_loader"]),
            *(0, step, settings["eval_freq"], settings["eval_iter"]),
            *(settings["start_context"], settings["tokenizer"]),
            *(settings["save_freq"], folder, checkpoint, "cpu"),
        )
        results.append((checkpoint, *losses))
    return results


def test_val_and_save_numbers_checkpoints_on(tmp_path):
    numbers = [result[0] for result in in_a_loop_of_ones_own(tmp_path)]
    assert numbers == [0, 0, 0, 0, 0, 1, 1]


def test_val_and_save_writes_the_checkpoints(tmp_path):
    in_a_loop_of_ones_own(tmp_path)
    assert list_checkpoints(tmp_path) == [0, 1]


def test_val_and_save_saves_weights_and_optimizer_only(tmp_path):
    in_a_loop_of_ones_own(tmp_path)
    assert read_state(tmp_path, 0) is None


def test_val_and_save_saves_the_state_it_is_given(tmp_path, model):
    val_and_save(
        *(model, adamw(model), train_batches(), val_batches(), 0, 0, 5, 1),
        *("the ", CharTokenizer(), 5, tmp_path, None, "cpu"),
        state={"batch": 3},
    )
    assert read_state(tmp_path, 0) == {"batch": 3}


def test_val_and_save_returns_losses_where_they_are_due(tmp_path):
    results = in_a_loop_of_ones_own(tmp_path)
    due = [step for step, result in enumerate(results) if None not in result[1:]]
    assert due == [0, 5]


def test_val_and_save_returns_the_losses_that_pretrain_model_returns(tmp_path):
    own = in_a_loop_of_ones_own(tmp_path / "own")
    history = pretrain_model(**run_settings(tmp_path / "ours"))
    assert [own[0][1:], own[5][1:]] == list(
        zip(history.train_losses, history.val_losses, strict=True)
    )


def test_val_and_save_prints_the_trace_of_an_evaluation(tmp_path, capsys):
    in_a_loop_of_ones_own(tmp_path, save_freq=99)
    first = capsys.readouterr().out.splitlines()[:3]
    patterns = [
        r"Epoch 1 \(Step 000000\): Train loss \d\.\d{3}, Val loss \d\.\d{3}",
        r"Generated Sample Text: the .{50}",
        r"=+",
    ]
    assert all(map(re.fullmatch, patterns, first))


def test_val_and_save_saves_no_checkpoint_before_one_is_due(tmp_path, model):
    result = val_and_save(
        *(model, adamw(model), train_batches(), val_batches(), 0, 3, 5, 1),
        *("the ", CharTokenizer(), 5, tmp_path, None, "cpu"),
    )
    assert result == (None, None, None)


def test_val_and_save_returns_no_losses_without_a_validation_loader(tmp_path, model):
    _, *losses = val_and_save(
        *(model, adamw(model), train_batches(), None, 0, 0, 5, 1),
        *("the ", CharTokenizer(), 5, tmp_path, None, "cpu"),
    )
    assert losses == [None, None]


# Refused at the door


COUNTS = ["num_epochs", "eval_freq", "eval_iter", "save_freq", "keep_last"]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1])
def test_a_number_below_1_is_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name}={value} must be .*at least 1"):
        pretrain(tmp_path, **{name: value})


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [2.5, "3"])
def test_a_number_that_is_not_whole_is_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name}={value!r} must be a whole number"):
        pretrain(tmp_path, **{name: value})


def test_a_print_freq_below_1_is_refused(tmp_path):
    with pytest.raises(ValueError, match="print_freq=0 must be at least 1"):
        pretrain(tmp_path, print_freq=0)


@pytest.mark.parametrize("name", ["train_loader", "val_loader"])
@pytest.mark.parametrize(
    "loader",
    [[], DataLoader(tiny_dataset(1), batch_size=2, drop_last=True)],
    ids=["no batches", "all dropped"],
)
def test_an_empty_loader_is_refused(tmp_path, name, loader):
    with pytest.raises(
        ValueError, match=f"{name} is empty: .*; add text, lower batch_size"
    ):
        pretrain(tmp_path, **{name: loader})


def test_an_empty_start_context_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match="start_context is empty; give at least one token"
    ):
        pretrain(tmp_path, start_context="")


def test_an_optimizer_of_another_model_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"optimizer holds none .* make it with model\.parameters\(\)"
    ):
        pretrain(tmp_path, optimizer=adamw(tiny_model()))


@pytest.mark.parametrize("checkpoint", ["newest", "", "5", "model_000001.pth", 1.5])
def test_a_checkpoint_that_is_no_number_is_refused(tmp_path, checkpoint):
    with pytest.raises(
        ValueError,
        match=f"checkpoint={checkpoint!r} must be a .*number, 'latest' or None",
    ):
        pretrain(tmp_path, checkpoint=checkpoint)


def test_a_refused_argument_leaves_the_folder_alone(tmp_path):
    with pytest.raises(ValueError, match="num_epochs"):
        pretrain(tmp_path / "new", num_epochs=0)
    assert not (tmp_path / "new").exists()


def test_a_sequence_longer_than_the_context_is_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"sequence of 8 tokens is longer .* of 4; cut"
    ):
        pretrain(tmp_path, tiny_model(context_len=4))


def test_a_token_id_outside_the_vocabulary_is_refused(tmp_path):
    with pytest.raises(ValueError, match="outside the vocabulary of 5 tokens; build"):
        pretrain(tmp_path, tiny_model(vocabulary_size=5))


# A loss that is not finite


class TurnsBad(Bigram):
    """Its logits are not finite from its third training step on."""

    def __init__(self, value):
        super().__init__()
        self.value, self.steps, self.good_weights = value, 0, None

    def forward(self, ids):
        if self.training:
            self.steps += 1
        if self.steps < 3:
            return super().forward(ids)
        self.good_weights = copy_of(dict(self.state_dict()))
        return super().forward(ids) * self.value


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_run(tmp_path, value):
    with pytest.raises(
        FloatingPointError,
        match=r"loss is nan at step 2; lower the learning rate \(now 0\.0006\)",
    ):
        pretrain(tmp_path, TurnsBad(value))


def test_a_loss_that_is_not_finite_names_the_checkpoints_to_go_on_from(tmp_path):
    with pytest.raises(FloatingPointError) as caught:
        pretrain(tmp_path, TurnsBad(math.nan))
    assert f"go on from a checkpoint in {tmp_path}" in str(caught.value)


def test_the_weights_before_a_loss_that_is_not_finite_are_kept(tmp_path):
    model = TurnsBad(math.nan)
    with pytest.raises(FloatingPointError):
        pretrain(tmp_path, model)
    assert same(dict(model.state_dict()), model.good_weights)


def test_an_infinite_learning_rate_ends_the_run(tmp_path):
    model = tiny_model()
    optimizer = adamw(model, lr=math.inf)
    with pytest.raises(FloatingPointError, match=r"learning rate \(now inf\)"):
        pretrain(tmp_path, model, optimizer=optimizer)
