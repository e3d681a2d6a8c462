"""A run that was ended and continued ends as if it had never stopped."""

import json
import shutil
from collections import namedtuple

import pytest
import torch
from played import LOADERS, play, play_in_a_new_process
from tiny import (
    adamw,
    copy_of,
    pretrain,
    run_settings,
    same,
    tiny_dataset,
    tiny_model,
    train_batches,
)
from torch.utils.data import DataLoader

from llm_helpers import (
    CheckpointError,
    list_checkpoints,
    pretrain_model,
    read_state,
    save_checkpoint,
)

CASES = [
    *(("shuffled", number) for number in range(6)),
    # before an epoch's end, where a periodic checkpoint meets it; after one; mid-epoch
    *((loader, number) for loader in LOADERS for number in (1, 4, 5)),
]
CASES = list(dict.fromkeys(CASES))


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


# In a new process, from every checkpoint, with every kind of loader


class Continued:
    """Runs that never stopped, and runs ended at a checkpoint and continued."""

    def __init__(self, folder):
        self.straight = {
            loader: play(folder / "straight" / loader, loader) for loader in LOADERS
        }
        jobs = []
        self.first = {}
        for loader, number in CASES:
            place = folder / loader / str(number)
            self.first[loader, number] = play(place, loader, until=number)
            jobs.append(dict(folder=place, loader=loader, checkpoint="latest", seed=9))
        outcomes = play_in_a_new_process(jobs, folder)
        self.second = dict(zip(CASES, outcomes, strict=True))


@pytest.fixture(scope="module")
def continued(tmp_path_factory):
    return Continued(tmp_path_factory.mktemp("continued"))


in_every_case = pytest.mark.parametrize(("loader", "number"), CASES)


@in_every_case
def test_a_continued_run_ends_with_the_very_same_weights(continued, loader, number):
    second = continued.second[loader, number]
    assert same(second["weights"], continued.straight[loader]["weights"])


@in_every_case
def test_a_continued_run_ends_with_the_very_same_optimizer(continued, loader, number):
    second = continued.second[loader, number]
    assert same(second["optimizer"], continued.straight[loader]["optimizer"])


@in_every_case
def test_a_continued_run_returns_the_same_lists_from_step_0(continued, loader, number):
    second = continued.second[loader, number]
    assert second["history"] == continued.straight[loader]["history"]


@in_every_case
def test_a_continued_run_prints_the_lines_that_were_still_to_come(
    continued, loader, number
):
    first = continued.first[loader, number]["lines"]
    second = continued.second[loader, number]["lines"]
    notices = 2  # where it continues, what it will write
    assert first + second[notices:] == continued.straight[loader]["lines"]


def test_the_runs_of_these_tests_depend_on_the_seed(continued, tmp_path):
    other = play(tmp_path, seed=9)
    assert not same(other["weights"], continued.straight["shuffled"]["weights"])


# In the same process


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """What the run that never stops ends with."""
    return play(tmp_path_factory.mktemp("straight"))


@pytest.fixture
def ended(tmp_path):
    """The folder of a run that ended after checkpoint 3, in mid-epoch 2."""
    play(tmp_path, until=3)
    return tmp_path


def test_a_number_continues_like_latest(ended, straight):
    assert same(play(ended, checkpoint=3, seed=9)["weights"], straight["weights"])


def test_a_number_below_the_newest_continues_exactly(ended, straight):
    assert same(play(ended, checkpoint=1, seed=9)["weights"], straight["weights"])


def test_a_run_can_be_continued_several_times(ended, straight):
    play(ended, checkpoint="latest", until=4, seed=7)
    play(ended, checkpoint="latest", until=5, seed=8)
    outcome = play(ended, checkpoint="latest", seed=9)
    assert same(outcome["weights"], straight["weights"])


@pytest.mark.parametrize("loader", ["own generator", "persistent workers"])
def test_a_loader_that_was_iterated_over_continues_exactly(tmp_path, loader):
    def settings(folder, **changes):
        model = tiny_model(dropout=0.2)
        return run_settings(folder, model, num_epochs=3, **changes)

    straight = settings(tmp_path / "straight", train_loader=LOADERS[loader](1))
    pretrain_model(**straight)
    used = LOADERS[loader](1)
    pretrain_model(**settings(tmp_path / "ended", train_loader=used))
    resumed = settings(tmp_path / "ended", train_loader=used, checkpoint=1)
    pretrain_model(**resumed)
    assert same(
        dict(resumed["model"].state_dict()), dict(straight["model"].state_dict())
    )


def test_the_global_rng_ends_where_the_straight_run_leaves_it(ended, tmp_path):
    play(tmp_path / "straight")
    expected = torch.get_rng_state()
    play(ended, checkpoint="latest", seed=9)
    assert torch.equal(torch.get_rng_state(), expected)


def test_num_epochs_can_be_extended(tmp_path, straight):
    play(tmp_path, num_epochs=2)
    outcome = play(tmp_path, checkpoint="latest", seed=9)
    assert same(outcome["weights"], straight["weights"])


def test_frequencies_can_be_changed(ended, straight):
    changes = dict(eval_freq=1, save_freq=2, eval_iter=2)
    outcome = play(ended, checkpoint="latest", seed=9, **changes)
    assert same(outcome["weights"], straight["weights"])


def test_another_optimizer_than_adamw_continues_exactly(tmp_path):
    def trained(folder, **changes):
        model = tiny_model(dropout=0.2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        return pretrain(folder, model, optimizer=optimizer, num_epochs=2, **changes)

    straight = trained(tmp_path / "straight")
    trained(tmp_path / "ended")
    resumed = trained(tmp_path / "ended", checkpoint=1)
    assert same(dict(resumed.state_dict()), dict(straight.state_dict()))


def test_a_model_without_config_continues_exactly(tmp_path):
    def trained(folder, **changes):
        torch.manual_seed(1)
        model = torch.nn.Sequential(
            torch.nn.Embedding(31, 8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 31)
        )
        return pretrain(folder, model, num_epochs=2, **changes)

    straight = trained(tmp_path / "straight")
    trained(tmp_path / "ended")
    resumed = trained(tmp_path / "ended", checkpoint=1)
    assert same(dict(resumed.state_dict()), dict(straight.state_dict()))


# What is said


def test_a_continued_run_says_where_it_continues(ended):
    assert play(ended, checkpoint="latest")["lines"][0] == (
        "Continuing from checkpoint 000003: 13 steps done, epoch 2, batch 6."
    )


def test_a_continued_run_says_what_it_still_writes(ended):
    assert play(ended, checkpoint="latest")["lines"][1].startswith(
        "This run writes 3 checkpoints"
    )


@pytest.mark.parametrize("folder", ["", "new"])
def test_latest_in_an_empty_folder_says_that_it_starts_afresh(tmp_path, folder):
    lines = play(tmp_path / folder, checkpoint="latest")["lines"]
    assert lines[0] == f"No checkpoint in {tmp_path / folder}: starting afresh."


def test_latest_in_an_empty_folder_is_a_run_like_any_other(tmp_path, straight):
    outcome = play(tmp_path, checkpoint="latest")
    assert same(outcome["weights"], straight["weights"])


def test_a_restored_learning_rate_is_told(ended, capsys):
    model = tiny_model(dropout=0.2)
    optimizer = adamw(model, lr=1e-3)
    pretrain(ended, model, optimizer=optimizer, checkpoint="latest", num_epochs=3)
    notice = "The checkpoint's learning rate 0.0006 replaces 0.001."
    assert notice in capsys.readouterr().out.splitlines()


def test_the_learning_rate_is_the_checkpoints(ended):
    model = tiny_model(dropout=0.2)
    optimizer = adamw(model, lr=1e-3)
    pretrain(ended, model, optimizer=optimizer, checkpoint="latest", num_epochs=3)
    assert optimizer.param_groups[0]["lr"] == 6e-4


def test_the_same_learning_rate_is_not_mentioned(ended):
    lines = play(ended, checkpoint="latest")["lines"]
    assert not any("learning rate" in line for line in lines)


# A run that has finished


@pytest.fixture
def finished(tmp_path):
    play(tmp_path)
    return tmp_path


def test_a_finished_run_says_so(finished):
    assert play(finished, checkpoint="latest")["lines"][-1] == (
        "This run has finished its 3 epochs."
    )


def test_a_finished_run_returns_its_lists(finished, straight):
    assert play(finished, checkpoint="latest")["history"] == straight["history"]


def test_a_finished_run_puts_back_its_weights(finished, straight):
    outcome = play(finished, checkpoint="latest", seed=9)
    assert same(outcome["weights"], straight["weights"])


def test_a_finished_run_leaves_its_folder_alone(finished):
    before = names_in(finished)
    play(finished, checkpoint="latest")
    assert names_in(finished) == before


# Numbers, and what is set aside


def test_numbers_go_on_after_the_checkpoint(ended):
    play(ended, checkpoint=3)
    assert list_checkpoints(ended) == [0, 1, 2, 3, 4, 5, 6]


def test_newer_checkpoints_are_set_aside(ended):
    play(ended, checkpoint=1, until=2)
    assert list_checkpoints(ended / "superseded-1") == [2, 3]


def test_what_was_set_aside_can_be_continued_there(ended, straight):
    play(ended, checkpoint=1, until=2)
    outcome = play(ended / "superseded-1", checkpoint="latest", seed=9)
    assert same(outcome["weights"], straight["weights"])


def test_the_checkpoint_and_those_before_it_stay(ended):
    before = {path: path.read_bytes() for path in ended.glob("*_00000[01].*")}
    play(ended, checkpoint=1, until=2)
    assert {path: path.read_bytes() for path in before} == before


def test_setting_aside_is_told(ended):
    aside = ended / "superseded-1"
    assert play(ended, checkpoint=1)["lines"][1] == (
        f"Newer checkpoints of an earlier run were moved to {aside}."
    )


def test_every_setting_aside_has_a_folder_of_its_own(ended):
    for _ in range(3):
        play(ended, checkpoint=0, until=1)
    folders = [name for name in names_in(ended) if "." not in name]
    assert folders == ["superseded-1", "superseded-2", "superseded-3"]


def test_continuing_from_the_newest_sets_nothing_aside(ended):
    play(ended, checkpoint="latest")
    assert not (ended / "superseded-1").exists()


def test_latest_sets_an_incomplete_checkpoint_aside(ended):
    (ended / "manifest_000003.json").unlink()
    play(ended, checkpoint="latest")
    assert names_in(ended / "superseded-1") == [
        *("model_000003.pth", "optimizer_000003.pth", "state_000003.pth"),
    ]


def test_latest_says_that_it_ignores_an_incomplete_checkpoint(ended):
    (ended / "manifest_000003.json").unlink()
    assert play(ended, checkpoint="latest")["lines"][0] == (
        "Warning: checkpoint 000003 is incomplete and ignored."
    )


def test_latest_passes_over_a_damaged_checkpoint(ended, straight):
    (ended / "model_000003.pth").write_bytes(b"garbage")
    outcome = play(ended, checkpoint="latest", seed=9)
    assert same(outcome["weights"], straight["weights"])


def test_latest_says_which_checkpoint_it_passes_over(ended):
    path = ended / "model_000003.pth"
    path.write_bytes(b"garbage")
    line = play(ended, checkpoint="latest")["lines"][0]
    assert line.startswith(
        f"Warning: checkpoint 000003 is passed over: {path} is damaged: it has 7 bytes"
    )


def test_latest_refuses_a_folder_where_all_are_damaged(ended):
    for path in ended.glob("model_*.pth"):
        path.write_bytes(b"garbage")
    with pytest.raises(
        CheckpointError, match=r"none of .* can be read; start afresh with checkpoint="
    ):
        play(ended, checkpoint="latest")


# keep_last and keep_best


def test_keep_last_keeps_that_many(tmp_path):
    play(tmp_path, keep_last=2)
    assert list_checkpoints(tmp_path) == [5, 6]


def test_keep_last_leaves_no_part_of_others(tmp_path):
    play(tmp_path, keep_last=1)
    assert len(names_in(tmp_path)) == 4


def test_a_pruned_folder_continues_exactly(tmp_path, straight):
    play(tmp_path, keep_last=1, until=3)
    outcome = play(tmp_path, checkpoint="latest", keep_last=1, seed=9)
    assert same(outcome["weights"], straight["weights"])


def test_nothing_is_pruned_before_the_newer_checkpoint_is_written(
    tmp_path, monkeypatch
):
    play(tmp_path, keep_last=1, until=3)
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="MB free"):
        play(tmp_path, checkpoint="latest", keep_last=1)
    assert list_checkpoints(tmp_path) == [3]


def worsening(folder, **changes):
    """A run whose evaluations are the better the earlier they are."""
    model = tiny_model()
    optimizer = adamw(model, lr=1e-2, maximize=True)
    settings = dict(optimizer=optimizer, num_epochs=3, eval_freq=5, save_freq=5)
    return pretrain(folder, model, **settings | changes)


def test_keep_best_keeps_the_lowest_validation_loss_beside_the_last(tmp_path):
    worsening(tmp_path, keep_last=2, keep_best=True)
    assert list_checkpoints(tmp_path) == [0, 6, 7]


def test_without_keep_best_only_the_last_are_kept(tmp_path):
    worsening(tmp_path, keep_last=2)
    assert list_checkpoints(tmp_path) == [6, 7]


def test_the_best_is_known_and_kept_over_a_resume(tmp_path):
    worsening(tmp_path, keep_last=1, keep_best=True, num_epochs=2)
    worsening(tmp_path, keep_last=1, keep_best=True, checkpoint="latest")
    assert list_checkpoints(tmp_path) == [0, 7]


def test_a_new_best_takes_the_place_of_the_old(tmp_path):
    play(tmp_path, keep_last=1, keep_best=True)  # the loss falls to the end
    assert list_checkpoints(tmp_path) == [6]


def test_keep_best_keeps_everything_without_keep_last(tmp_path):
    play(tmp_path, keep_best=True)
    assert list_checkpoints(tmp_path) == [0, 1, 2, 3, 4, 5, 6]


# Refused: what belongs to another run


def other_texts():
    return DataLoader(tiny_dataset(14, skip=50), batch_size=2, shuffle=True)


REFUSED = {
    "texts": (dict(train_loader=other_texts), r"another run: SHA-256 of the tokens = "),
    "fewer texts": (
        dict(train_loader=lambda: train_batches(num_batches=6)),
        r"another run: batches in an epoch = 7 there and 6 here; use the same texts",
    ),
    "batch size": (
        dict(train_loader=lambda: DataLoader(tiny_dataset(27), 4, shuffle=True)),
        r"another run: batch size = 2 there and 4 here; use the same texts, model, bat",
    ),
    "order": (
        dict(train_loader=lambda: DataLoader(tiny_dataset(), batch_size=2)),
        r"another run: sampler = RandomSampler there and SequentialSampler here; use",
    ),
    "generator": (
        dict(train_loader=lambda: train_batches(torch.Generator())),
        r"another run: generators of the loader = 0 there and 1 here; use the same",
    ),
    "optimizer": (
        dict(optimizer=lambda model: torch.optim.Adam(model.parameters())),
        r"another run: optimizer = AdamW there and Adam here; use the same",
    ),
    "model": (
        dict(model=lambda: tiny_model(dropout=0.2, num_layers=2)),
        r"belongs to another model: it lacks 'trf_blocks\.1\.att\.W_key\.weight'; bui",
    ),
    "dropout": (
        dict(model=lambda: tiny_model(dropout=0.3)),
        r"another run: config = .*'dropout': 0\.2.* there and .*'dropout': 0\.3.* here",
    ),
}


def settings_of_another_run(folder, changes):
    made = {name: make() for name, make in changes.items() if name != "optimizer"}
    model = made.pop("model", None) or tiny_model(dropout=0.2)
    if "optimizer" in changes:
        made["optimizer"] = changes["optimizer"](model)
    return run_settings(folder, model, checkpoint="latest", num_epochs=3, **made)


@pytest.mark.parametrize(("changes", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_checkpoint_of_another_run_is_refused(ended, changes, sentence):
    with pytest.raises(CheckpointError, match=sentence):
        pretrain_model(**settings_of_another_run(ended, changes))


@pytest.mark.parametrize("changes", [c for c, _ in REFUSED.values()], ids=REFUSED)
def test_a_refused_checkpoint_leaves_weights_and_optimizer_alone(ended, changes):
    settings = settings_of_another_run(ended, changes)
    model, optimizer = settings["model"], settings["optimizer"]
    before = copy_of([dict(model.state_dict()), optimizer.state_dict()])
    with pytest.raises(CheckpointError):
        pretrain_model(**settings)
    assert same([dict(model.state_dict()), optimizer.state_dict()], before)


def test_a_refused_checkpoint_leaves_the_folder_alone(ended):
    before = names_in(ended)
    with pytest.raises(CheckpointError):
        play(ended, checkpoint=1, loader="own generator")
    assert names_in(ended) == before


def test_a_refused_checkpoint_leaves_the_global_rng_alone(ended):
    settings = settings_of_another_run(ended, REFUSED["texts"][0])
    before = torch.get_rng_state()
    with pytest.raises(CheckpointError):
        pretrain_model(**settings)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_state_of_a_loop_of_ones_own_is_refused(tmp_path):
    model = tiny_model(dropout=0.2)
    save_checkpoint(tmp_path, 0, model, adamw(model), state={"batch": 3})
    with pytest.raises(
        CheckpointError, match="state lacks 'best', so another loop wrote it; use load"
    ):
        play(tmp_path, checkpoint=0)


@pytest.mark.parametrize("checkpoint", [4, -1])
def test_a_missing_number_lists_those_there_are(ended, checkpoint):
    with pytest.raises(FileNotFoundError, match=r"complete checkpoints: 0, 1, 2, 3$"):
        play(ended, checkpoint=checkpoint)


def test_an_incomplete_number_is_refused(ended):
    (ended / "manifest_000003.json").unlink()
    with pytest.raises(
        CheckpointError, match=r"checkpoint 3 in .* is incomplete: it has no manifest"
    ):
        play(ended, checkpoint=3)


def with_newer_format(folder):
    path = folder / "manifest_000003.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**manifest, "format": 3}), encoding="utf-8")


def test_a_newer_format_is_refused(ended):
    with_newer_format(ended)
    with pytest.raises(
        CheckpointError, match=r"manifest_000003\.json has format 3, newer than 2; upd"
    ):
        play(ended, checkpoint=3)


def test_latest_passes_over_a_newer_format(ended, straight):
    with_newer_format(ended)
    outcome = play(ended, checkpoint="latest", seed=9)
    assert same(outcome["weights"], straight["weights"])


# Warned about: what changes the last digits only


@pytest.fixture
def one_thread_afterwards():
    yield
    torch.set_num_threads(1)


@pytest.mark.usefixtures("one_thread_afterwards")
def test_another_number_of_threads_is_warned_about(ended):
    torch.set_num_threads(2)
    assert play(ended, checkpoint="latest")["lines"][0] == (
        "Warning: the checkpoint was made with threads = 1, now it is 2: the run "
        "continues, but not bit-identically."
    )


def test_another_version_of_pytorch_is_warned_about(ended, monkeypatch):
    version = torch.__version__
    monkeypatch.setattr(torch, "__version__", "9.9")
    assert play(ended, checkpoint="latest")["lines"][0] == (
        f"Warning: the checkpoint was made with torch = {version}, now it is 9.9: the "
        "run continues, but not bit-identically."
    )


# What a checkpoint tells


def test_the_state_holds_the_lists(finished, straight):
    state = read_state(finished, 6)
    assert list(state["history"].values()) == straight["history"]


def test_the_state_holds_the_position(ended):
    assert read_state(ended, 3)["position"] == dict(
        epoch=1, batch=6, global_step=13, tokens_seen=13 * 16
    )
