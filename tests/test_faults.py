"""The short form of `tests/faults/campaign.py`: few kills, all damage, a full disk."""

import pytest
from faults import damage, full_disk, kills

# Kill -9


@pytest.fixture(scope="module")
def attempts(tmp_path_factory):
    return list(kills.attempts(tmp_path_factory.mktemp("kills"), num_kills=3))


def test_a_killed_run_goes_on_to_the_very_same_end(attempts):
    assert [attempt.identical for attempt in attempts] == [True] * 3


def test_a_killed_run_that_went_on_leaves_no_temporary_file(attempts):
    assert [attempt.tidy for attempt in attempts] == [True] * 3


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
