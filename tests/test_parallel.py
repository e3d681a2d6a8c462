"""The same run in one process and in two: `parallel_runs` plays it, here both meet."""

import json
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from faults import damage
from parallel_runs import HABITS, HALF, RAGGED, STEPS_AT_HALF, play
from tiny import same, tiny_model

from llm_helpers import CheckpointError, list_checkpoints, load_checkpoint
from llm_helpers.checkpoint_folder import manifest_sha256, sha256, size_on_disk
from llm_helpers.convert import convert_checkpoint

ENGINES = ("DDP", "FSDP")
RUNS = ("one", *ENGINES)
TORCHRUN = (sys.executable, "-m", "torch.distributed.run")

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_gloo_available(), reason="this PyTorch has no gloo"
)


TWO_PROCESSES = ("--standalone", "--nproc-per-node", "2")


def torchrun(*arguments, launcher=TWO_PROCESSES, **settings):
    """Run a program in several processes; returns what it left."""
    command = [*TORCHRUN, *launcher, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", env=environment, **settings
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("parallel")


@pytest.fixture(scope="module")
def one(folder):
    """The run in a single process."""
    return play(folder / "one", "one")


@pytest.fixture(scope="module")
def two(folder, one):
    """What two processes made of every scenario."""
    process = torchrun(Path(__file__).with_name("parallel_runs.py"), folder)
    assert process.returncode == 0, process.stderr
    return torch.load(folder / "results.pt", weights_only=True)


def distance(one, other):
    """The largest difference of two runs' losses, in nats per token."""
    pairs = zip(one["losses"], other["losses"], strict=True)
    return max(abs(a - b) for a, b in pairs)


@pytest.mark.parametrize("engine", ENGINES)
def test_two_processes_give_the_losses_of_one(two, one, engine):
    assert len(one["losses"]) > 50
    assert distance(one, two[engine]) < 1e-5


@pytest.mark.parametrize("engine", ENGINES)
def test_two_processes_see_the_very_same_windows_as_one(two, one, engine):
    assert two[engine]["windows"] == one["windows"]


@pytest.mark.parametrize("engine", ENGINES)
def test_two_processes_see_each_window_of_an_epoch_once(two, engine):
    epoch = [window for step in two[engine]["windows"][:6] for window in step]
    assert len(epoch) == len({tuple(window) for window in epoch}) == 24


def test_ddp_and_fsdp_agree(two):
    assert distance(two["DDP"], two["FSDP"]) < 1e-5


def test_under_fsdp_a_process_holds_half_of_the_weights(two, one):
    assert two["FSDP"]["numbers held"] < 0.51 * one["numbers held"]
    assert two["DDP"]["numbers held"] == one["numbers held"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("num_windows", RAGGED)
def test_a_short_last_batch_weighs_what_it_holds(two, folder, engine, num_windows):
    data = dict(num_windows=num_windows)
    single = play(folder / f"one, {num_windows} for {engine}", "one", data=data)
    assert distance(single, two[engine, num_windows]) < 1e-5


@pytest.mark.parametrize("engine", ENGINES)
def test_schedule_clipping_and_accumulation_are_those_of_one(two, folder, engine):
    single = play(folder / f"one, habits for {engine}", "one", **HABITS)
    assert distance(single, two[engine, "habits"]) < 1e-5


@pytest.mark.parametrize("engine", ENGINES)
def test_evaluations_in_several_processes_leave_the_weights_alone(two, engine):
    assert same(two[engine, "watched"]["weights"], two[engine]["weights"])


@pytest.mark.parametrize("engine", ENGINES)
def test_the_lists_have_the_entries_of_one(two, one, engine):
    for name, values in one["history"].items():
        assert two[engine]["history"][name] == pytest.approx(values, abs=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_processes_draw_different_dropout(two, engine):
    first, second = two[engine, "dropout"]["generators"]
    assert not torch.equal(first, second)


# Checkpoints


@pytest.mark.parametrize("source", RUNS)
@pytest.mark.parametrize("engine", RUNS)
def test_a_checkpoint_passes_from_any_run_to_any_other(
    two, one, folder, engine, source
):
    if engine == "one":
        copy = shutil.copytree(folder / source, folder / f"{source} to one")
        outcome = play(copy, "one", checkpoint=HALF, seed=9)
    else:
        outcome = two[engine, "from", source]
    assert distance(one, outcome) < 1e-5
    assert outcome["windows"] == one["windows"][STEPS_AT_HALF:]


@pytest.mark.parametrize("engine", ENGINES)
def test_with_as_many_processes_a_run_continues_bit_identically(two, engine):
    whole, resumed = two[engine, "dropout"], two[engine, "dropout", "resumed"]
    for name in ("losses", "weights", "evaluations", "history", "generators"):
        assert same(whole[name], resumed[name])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stop_asked_of_one_process_stops_all_and_continues_exactly(two, engine):
    stopped = two[engine, "stopped"]
    assert stopped["stopped after"] == [18, 18]
    assert same(stopped["weights"], two[engine, "dropout"]["weights"])


# Slices on the disk


@pytest.fixture
def slices(two, folder, tmp_path):
    """A copy of the checkpoints that the sharded run has left."""
    return shutil.copytree(folder / "FSDP", tmp_path / "run")


def test_each_process_writes_its_slices_in_a_format_without_code(slices):
    files = sorted((slices / f"sharded_{HALF:06d}").iterdir())
    assert [file.suffix for file in files] == [".safetensors"] * 2


def test_a_flipped_bit_in_a_slice_is_found(slices):
    file = next((slices / f"sharded_{HALF:06d}").iterdir())
    file.write_bytes(flipped(file.read_bytes()))
    with pytest.raises(CheckpointError, match=r"sharded_000005 is damaged .*SHA-256"):
        play(slices, "one", checkpoint=HALF)


def flipped(data):
    return data[:-1] + bytes([data[-1] ^ 1])


def test_nothing_in_a_slice_is_executed(slices, tmp_path):
    """A pickle in the place of slices, with a manifest that says it is right."""
    folder = slices / f"sharded_{HALF:06d}"
    for file in folder.iterdir():
        file.write_bytes(pickle.dumps(damage.Malicious(tmp_path / "canary")))
    manifest_path = slices / f"manifest_{HALF:06d}.json"
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    entry = {"bytes": size_on_disk(folder), "sha256": sha256(folder)}
    manifest["files"][folder.name] = entry
    manifest["sha256"] = manifest_sha256(manifest)
    manifest_path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(CheckpointError, match="sharded_000005 is damaged"):
        play(slices, "one", checkpoint=HALF)
    assert not (tmp_path / "canary").exists()


def test_a_missing_slice_is_found(slices):
    next((slices / f"sharded_{HALF:06d}").iterdir()).unlink()
    with pytest.raises(CheckpointError, match=r"sharded_000005 is damaged: it has"):
        play(slices, "one", checkpoint=HALF)


def test_slices_of_another_model_are_refused(slices):
    with pytest.raises(CheckpointError, match="belongs to another model"):
        play(slices, "one", checkpoint=HALF, model=dict(num_layers=3))


@pytest.mark.parametrize("source", RUNS)
def test_a_converted_checkpoint_continues_the_run(two, one, folder, tmp_path, source):
    convert_checkpoint(folder / source, HALF, tmp_path / "plain")
    outcome = play(tmp_path / "plain", "one", checkpoint="latest", seed=9)
    assert distance(one, outcome) < 1e-5


def test_the_converter_is_a_command_too(slices, tmp_path):
    command = [sys.executable, "-m", "llm_helpers.convert", str(slices)]
    subprocess.run([*command, str(HALF), str(tmp_path / "plain")], check=True)
    assert list_checkpoints(tmp_path / "plain") == [HALF]


def test_the_converter_says_in_one_line_what_is_missing(slices, tmp_path):
    command = [sys.executable, "-m", "llm_helpers.convert", str(slices), "99", "to"]
    process = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert process.stderr.startswith("error: ")
    assert "does not exist; complete checkpoints: 0, 1" in process.stderr


def test_slices_newer_than_the_one_continued_from_are_set_aside(slices):
    play(slices, "one", until=STEPS_AT_HALF, checkpoint=HALF)
    assert (slices / "superseded-1" / f"sharded_{HALF + 1:06d}").is_dir()


def test_old_slices_are_deleted_where_few_checkpoints_are_kept(slices):
    play(slices, "one", checkpoint=HALF, keep_last=2)
    assert not list(slices.glob("sharded_*"))


def test_without_torchrun_the_weights_can_be_read_from_slices(slices, one):
    model = tiny_model(num_layers=2)
    load_checkpoint(slices, list_checkpoints(slices)[-1], model)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(weight, one["weights"][name], atol=1e-5, rtol=0)


def test_slices_become_a_plain_checkpoint_for_other_programs(slices, one):
    last = list_checkpoints(slices)[-1]
    plain = slices / "plain"
    convert_checkpoint(slices, last, plain)
    weights = torch.load(plain / f"model_{last:06d}.pth", weights_only=True)
    for name, weight in one["weights"].items():
        torch.testing.assert_close(weights[name], weight, atol=1e-5, rtol=0)


# The command line


TEXT = "One cup of tea for the ferryman, who waits for no one at all. " * 40
SIZES = (
    *("--embedding-dim", "8", "--layers", "1", "--heads", "1", "--context-len", "16"),
    *("--epochs", "1", "--batch-size", "4", "--eval-freq", "3", "--eval-iter", "1"),
    *("--save-freq", "1000", "--sample-tokens", "8", "--device", "cpu"),
)


@pytest.fixture(scope="module")
def command_line(tmp_path_factory):
    """What two processes print, from a shell in a folder with one text."""
    place = tmp_path_factory.mktemp("command line")
    (place / "texts").mkdir()
    (place / "texts" / "a.txt").write_text(TEXT, encoding="utf-8")
    arguments = ("-m", "llm_helpers.pretrain", "--train", "texts", *SIZES)
    return lambda *more, **settings: torchrun(*arguments, *more, cwd=place, **settings)


@pytest.fixture(scope="module", params=[[], ["--fsdp"]], ids=ENGINES)
def printed(command_line, request):
    process = command_line("--out", f"runs{len(request.param)}", *request.param)
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_one_process_prints(printed):
    for line in ("parameters, ", "Epoch 1 finished", "Validation loss", "Sample (top-"):
        assert printed.count(line) == 1


def test_the_command_line_says_in_how_many_processes_it_trains(printed):
    assert "1 epochs, in 2 processes on cpu\n" in printed


def test_a_token_cache_is_made_once(command_line):
    process = command_line("--out", "cached", "--token-cache", "tokens")
    assert process.returncode == 0, process.stderr
    assert "Epoch 1 finished" in process.stdout


def test_two_machines_train_as_one(command_line, printed):
    """Two torchruns that meet at a port, as on two machines with one process each."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    meet = ("--nnodes", "2", "--rdzv-backend", "c10d", "--rdzv-endpoint")
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(
            pool.map(
                lambda out: command_line(
                    "--out", "two machines", launcher=(*meet, f"localhost:{port}")
                ),
                range(2),
            )
        )
    assert [outcome.returncode for outcome in outcomes] == [0, 0]
    lines = [line for outcome in outcomes for line in losses_in(outcome.stdout)]
    assert lines == losses_in(printed)


def losses_in(text):
    return re.findall(r"Epoch .*loss.*", text)


def test_a_restart_does_not_go_on_with_a_run_that_was_refused(command_line, printed):
    """Checkpoint 99 is not there at the second start, either; others are."""
    launcher = (*TWO_PROCESSES, "--max-restarts", "1")
    process = command_line("--out", "runs0", "--resume", "99", launcher=launcher)
    assert process.returncode != 0
    assert process.stderr.count("does not exist; complete checkpoints: 0, 1") == 2
    assert "Continuing" not in process.stdout


def test_an_error_is_told_once(command_line):
    process = command_line("--heads", "3")
    assert process.returncode != 0
    assert process.stderr.count("error: embedding_dim=8 is not divisible") == 1


# Refused in words, in every process


def refused(two, scenario):
    first, second = two[scenario]
    assert first == second
    return first


def test_an_error_of_the_process_that_writes_ends_all(two):
    assert refused(two, "broken disk").startswith("FileExistsError")


def test_other_texts_on_another_machine_are_refused(two):
    sentence = refused(two, "other texts")
    assert "process 1 has windows = 23 and process 0 24" in sentence
    assert "give all machines the same texts" in sentence


def test_other_settings_on_another_machine_are_refused(two):
    sentence = refused(two, "other settings")
    assert "process 1 has eval_freq = 6 and process 0 5" in sentence


def test_a_folder_that_not_all_see_is_refused(two):
    sentences = [sentence.split(" writes to ")[0] for sentence in two["own folders"]]
    assert sentences == ["ValueError: process 1 does not see what process 0"] * 2


def test_a_batch_smaller_than_the_number_of_processes_is_refused(two):
    assert "raise the batch size or start fewer" in refused(two, "too few windows")


def test_a_loss_that_is_infinite_in_one_process_ends_all(two):
    sentence = refused(two, "infinite loss")
    assert "the training loss is nan at step 0" in sentence
