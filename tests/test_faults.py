"""The short form of `tests/faults/campaign.py`: few kills, all damage, a full disk."""

import pytest
import torch
from faults import damage, full_disk, kills, rank_kills

from llm_helpers import pretrain

# Kill -9


@pytest.fixture(scope="module")
def attempts(tmp_path_factory):
    return list(kills.attempts(tmp_path_factory.mktemp("kills"), num_kills=3))


def test_a_killed_run_goes_on_to_the_very_same_end(attempts):
    assert [attempt.identical for attempt in attempts] == [True] * 3


def test_a_killed_run_that_went_on_leaves_no_temporary_file(attempts):
    assert [attempt.tidy for attempt in attempts] == [True] * 3


# Kill -9 of one process of two


@pytest.fixture(scope="module")
def rank_attempts(tmp_path_factory):
    """One with a copy of the weights in each process, one with a slice."""
    folder = tmp_path_factory.mktemp("rank-kills")
    return list(rank_kills.attempts(folder, num_kills=2))


def test_torchrun_starts_both_processes_again_when_one_was_killed(rank_attempts):
    assert [attempt.restarts for attempt in rank_attempts] == [1, 1]


def test_both_processes_go_on_by_themselves_to_the_very_same_end(rank_attempts):
    assert [attempt.identical for attempt in rank_attempts] == [True, True]


def test_the_process_that_was_left_alone_ends_without_a_traceback(rank_attempts):
    assert [attempt.plain for attempt in rank_attempts] == [True, True]


FROM_GLOO = (
    "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] Read error "
    "[127.0.0.1]:44427: Connection reset by peer. This is typically caused by a remote "
    "worker hanging or bugs in the application."
)


@pytest.fixture
def raised_while_training(monkeypatch):
    """What the command line makes of an error that training raises."""

    def end_with(error):
        def train(args, device):
            raise error

        monkeypatch.setattr(pretrain, "_pretrain", train)
        pretrain.main(["--device", "cpu"])

    return end_with


def test_a_lost_connection_is_told_in_one_sentence(raised_while_training):
    with pytest.raises(SystemExit, match=r"^error: the connection to another process"):
        raised_while_training(RuntimeError(FROM_GLOO))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x8 and 16x4)"),
        RuntimeError("[/gloo/transport/tcp/pair.cc:446] op.nbytes == 4. 8 vs 4"),
    ],
    ids=["out of memory", "a bug", "messages of different sizes"],
)
def test_any_other_error_of_pytorch_keeps_its_traceback(raised_while_training, error):
    with pytest.raises(type(error)) as raised:
        raised_while_training(error)
    assert raised.value is error


# Damaged checkpoints


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return damage.Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module", params=damage.CASES, ids=lambda case: case.name)
def verdict(request, runs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("case") / "run"
    return damage.verdict(request.param, runs, folder)


def test_a_damaged_checkpoint_is_refused_in_words(verdict):
    assert verdict.refused_in_words, verdict.sentence


def test_nothing_in_a_damaged_checkpoint_is_executed(verdict):
    assert verdict.nothing_executed


def test_a_damaged_checkpoint_changes_nothing(verdict):
    assert verdict.nothing_changed


def test_latest_goes_on_exactly_from_the_last_valid_checkpoint_or_is_refused(verdict):
    assert verdict.latest_is_exact


def test_the_canary_of_these_tests_can_be_harmed(tmp_path):
    function, arguments = damage.Malicious(tmp_path / "canary").__reduce__()
    function(*arguments)
    assert (tmp_path / "canary").exists()


# A full disk


@pytest.fixture(scope="module", params=full_disk.CASES)
def on_a_full_disk(request, tmp_path_factory):
    if full_disk.resource is None:
        pytest.skip("small disks and file-size limits are POSIX")
    run = full_disk.CASES[request.param]
    folder = tmp_path_factory.mktemp("full")
    with full_disk.small_disk(folder / "disk") as mounted:
        if not mounted and run is not full_disk.past_the_file_size_limit:
            pytest.skip("only root can mount a small disk")
        return run(folder / "disk" / "run")


def test_a_full_disk_ends_the_run_with_one_sentence(on_a_full_disk):
    assert on_a_full_disk.sentence
    assert "\n" not in on_a_full_disk.sentence


def test_a_full_disk_leaves_no_temporary_file(on_a_full_disk):
    assert on_a_full_disk.tidy


def test_after_a_full_disk_the_checkpoint_before_goes_on_exactly(on_a_full_disk):
    assert on_a_full_disk.goes_on_exactly
