"""Ctrl-C, the notebook's stop button and SIGTERM: a run ends well and can go on."""

import functools
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from faults import rank_kills
from jupyter_client.manager import start_new_kernel
from played import play
from tiny import run_settings, same, tiny_model

from llm_helpers import TrainingRun, list_checkpoints

TESTS_DIR = Path(__file__).parent
SIGNALS = [signal.SIGINT, signal.SIGTERM]
INTERRUPTED_FILES = [
    *("manifest_interrupted.json", "model_interrupted.pth"),
    *("optimizer_interrupted.pth", "state_interrupted.pth"),
]


class SendsSignals:
    """To be called at every step; sends this process signals at the one numbered."""

    def __init__(self, after, signal_number=signal.SIGINT, times=1):
        self.after, self.signals, self.steps = after, [signal_number] * times, 0

    def __call__(self):
        self.steps += 1
        if self.steps == self.after:
            for number in self.signals:
                os.kill(os.getpid(), number)


def interrupted(folder, after=9, signal_number=signal.SIGINT, **changes):
    """A run of 21 steps that a signal ends after that many; see `play`."""
    return play(folder, after_step=SendsSignals(after, signal_number), **changes)


def resumed(folder, **changes):
    return play(folder, checkpoint="latest", seed=9, **changes)


def settings_to_go_on(folder):
    model = tiny_model(dropout=0.2, seed=7)
    settings = run_settings(folder, model)
    return settings | dict(checkpoint="latest", num_epochs=3, eval_freq=4, save_freq=6)


def interrupted_files(folder):
    return sorted(path.name for path in folder.glob("*_interrupted.*"))


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """What the run that never stops ends with."""
    return play(tmp_path_factory.mktemp("straight"))


# A signal ends the run


@pytest.fixture(params=SIGNALS, ids=lambda number: number.name)
def outcome(request, tmp_path):
    """What comes out of a run that a signal ends after 9 steps, in mid-epoch 2."""
    return interrupted(tmp_path, 9, request.param)


def test_an_interrupted_run_returns_the_history_so_far(outcome, straight):
    assert outcome["history"] == [values[:3] for values in straight["history"]]


def test_an_interrupted_run_says_how_to_go_on(outcome):
    assert outcome["lines"][-1] == (
        'Interrupted after 9 steps and saved; go on with checkpoint="latest" '
        "(on the command line: --resume)."
    )


def test_an_interrupted_run_ends_after_the_step_it_is_at(outcome, straight):
    assert outcome["lines"][:-1] == straight["lines"][: len(outcome["lines"]) - 1]


@pytest.mark.usefixtures("outcome")
def test_an_interrupted_run_leaves_one_more_checkpoint(tmp_path):
    assert interrupted_files(tmp_path) == INTERRUPTED_FILES


@pytest.mark.usefixtures("outcome")
def test_the_interrupted_checkpoint_is_outside_the_numbering(tmp_path):
    assert list_checkpoints(tmp_path) == [0, 1, 2]


# Going on


# in the first epoch, before its end, after it, in the last, before the run's end
@pytest.mark.parametrize("after", [1, 7, 8, 16, 21])
def test_going_on_ends_with_the_very_same_weights(tmp_path, straight, after):
    interrupted(tmp_path, after)
    assert same(resumed(tmp_path)["weights"], straight["weights"])


@pytest.mark.parametrize("after", [1, 7, 8, 16, 21])
def test_going_on_prints_the_lines_that_were_still_to_come(tmp_path, straight, after):
    first = interrupted(tmp_path, after)["lines"][:-1]
    second = resumed(tmp_path)["lines"][2:]
    assert first + second == straight["lines"]


def test_going_on_returns_the_same_lists(tmp_path, straight):
    interrupted(tmp_path)
    assert resumed(tmp_path)["history"] == straight["history"]


def test_going_on_says_that_it_is_from_the_interrupted_checkpoint(tmp_path):
    interrupted(tmp_path)
    assert resumed(tmp_path)["lines"][0] == (
        "Continuing from checkpoint interrupted: 9 steps done, epoch 2, batch 2."
    )


def test_going_on_does_not_shift_the_numbers(tmp_path):
    interrupted(tmp_path)
    resumed(tmp_path)
    assert list_checkpoints(tmp_path) == [0, 1, 2, 3, 4, 5, 6]


def test_the_next_numbered_checkpoint_removes_the_interrupted_one(tmp_path):
    interrupted(tmp_path)
    resumed(tmp_path, until=3)
    assert interrupted_files(tmp_path) == []


def test_until_then_the_interrupted_checkpoint_stays(tmp_path):
    interrupted(tmp_path)
    next(TrainingRun(**settings_to_go_on(tmp_path)).steps())
    assert interrupted_files(tmp_path) == INTERRUPTED_FILES


def test_a_run_can_be_interrupted_again_and_again(tmp_path, straight):
    interrupted(tmp_path, 3)
    interrupted(tmp_path, 1, checkpoint="latest", seed=7)
    interrupted(tmp_path, 2, checkpoint="latest", seed=8)
    assert same(resumed(tmp_path)["weights"], straight["weights"])


def test_a_fresh_run_sets_the_interrupted_checkpoint_aside(tmp_path):
    interrupted(tmp_path)
    play(tmp_path, until=0)
    assert interrupted_files(tmp_path / "superseded-1") == INTERRUPTED_FILES


def test_going_on_from_a_number_sets_the_interrupted_checkpoint_aside(tmp_path):
    interrupted(tmp_path)
    play(tmp_path, checkpoint=2)
    assert interrupted_files(tmp_path / "superseded-1") == INTERRUPTED_FILES


def test_an_interrupted_checkpoint_older_than_the_newest_number_is_not_the_latest(
    tmp_path,
):
    interrupted(tmp_path)
    shutil.copytree(tmp_path, tmp_path / "kept")
    resumed(tmp_path)
    for name in INTERRUPTED_FILES:  # as if the run had been killed before it tidied up
        shutil.copy(tmp_path / "kept" / name, tmp_path)
    assert resumed(tmp_path)["lines"][0].startswith("Continuing from checkpoint 000006")


def test_a_damaged_interrupted_checkpoint_is_passed_over(tmp_path, straight):
    interrupted(tmp_path)
    (tmp_path / "model_interrupted.pth").write_bytes(b"garbage")
    assert same(resumed(tmp_path)["weights"], straight["weights"])


def test_an_incomplete_interrupted_checkpoint_is_ignored_with_a_warning(tmp_path):
    interrupted(tmp_path)
    (tmp_path / "manifest_interrupted.json").unlink()
    assert resumed(tmp_path)["lines"][:2] == [
        "Warning: checkpoint interrupted is incomplete and ignored.",
        "Continuing from checkpoint 000002: 7 steps done, epoch 2, batch 0.",
    ]


def test_a_stop_asked_for_while_the_checkpoint_is_loaded_loses_nothing(
    tmp_path, straight
):
    interrupted(tmp_path)
    run = TrainingRun(**settings_to_go_on(tmp_path))
    run.stop_requested = True
    list(run.steps())
    assert same(resumed(tmp_path)["weights"], straight["weights"])


def test_a_stop_in_the_last_evaluation_comes_too_late_to_interrupt(tmp_path):
    run = TrainingRun(**run_settings(tmp_path))
    for record in run.steps():
        run.stop_requested = record.checkpoint == 2  # that of the epoch's end
    assert interrupted_files(tmp_path) == []


# The signal handlers


def handlers():
    return [signal.getsignal(number) for number in SIGNALS]


def test_the_handlers_are_put_back_after_a_run(tmp_path):
    before = handlers()
    play(tmp_path)
    assert handlers() == before


def test_the_handlers_are_put_back_after_an_interrupted_run(tmp_path):
    before = handlers()
    interrupted(tmp_path)
    assert handlers() == before


def test_the_handlers_are_put_back_after_an_error(tmp_path):
    before = handlers()
    with pytest.raises(FileNotFoundError):
        play(tmp_path, checkpoint=3)
    assert handlers() == before


@pytest.fixture
def ctrl_c_interrupts():
    """Python's own handler, which a background process of a shell starts without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_a_second_ctrl_c_interrupts_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path, after_step=SendsSignals(9, times=2))


@pytest.mark.usefixtures("ctrl_c_interrupts")
def test_after_a_second_ctrl_c_the_newest_number_goes_on_exactly(tmp_path, straight):
    with pytest.raises(KeyboardInterrupt):
        play(tmp_path, after_step=SendsSignals(9, times=2))
    assert same(resumed(tmp_path)["weights"], straight["weights"])


def test_in_a_thread_a_run_works_without_handlers(tmp_path, straight):
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(play(tmp_path)))
    thread.start()
    thread.join()
    assert same(outcomes[0]["weights"], straight["weights"])


# A process of its own


RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from played import SLOW_LOADERS
from tiny import run_settings, tiny_model
from llm_helpers import pretrain_model

torch.set_num_threads(1)
settings = run_settings(sys.argv[2], tiny_model(dropout=0.2), num_epochs=3,
                        eval_freq=4, save_freq=6)
settings["train_loader"] = SLOW_LOADERS[sys.argv[3]]()
history = pretrain_model(**settings)
print("returned", len(history.val_losses), "evaluations")
"""


class InterruptedProcess:
    """A process that is sent a signal in its second epoch."""

    def __init__(self, folder, loader, send):
        self.folder = folder
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", RUN, TESTS_DIR, folder, loader],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,  # a process group of its own, as at a terminal
        )
        self.lines = []
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))
            if "Epoch 2 (Batch 000001)" in line:
                send(process.pid)
                break
        rest, self.errors = process.communicate(timeout=100)
        self.lines += rest.splitlines()
        self.exit_code = process.returncode


def to_the_process(number):
    return lambda pid: os.kill(pid, number)


def to_its_group(number):
    """As a terminal does: the loader's workers get it, too."""
    return lambda pid: os.killpg(pid, number)


PROCESSES = {
    "SIGINT": ("shuffled", to_the_process(signal.SIGINT)),
    "SIGTERM": ("shuffled", to_the_process(signal.SIGTERM)),
    "Ctrl-C, 2 workers": ("2 workers", to_its_group(signal.SIGINT)),
    "Ctrl-C, persistent workers": ("persistent workers", to_its_group(signal.SIGINT)),
}


@pytest.fixture(scope="module", params=PROCESSES)
def process(request, tmp_path_factory):
    loader, send = PROCESSES[request.param]
    interrupted = InterruptedProcess(tmp_path_factory.mktemp("process"), loader, send)
    interrupted.loader = loader
    return interrupted


def test_a_process_that_gets_a_signal_ends_normally(process):
    assert process.exit_code == 0, process.errors


def test_a_process_that_gets_a_signal_goes_on_after_pretrain_model(process):
    assert re.fullmatch("returned [345] evaluations", process.lines[-1])


def test_a_process_that_gets_a_signal_says_how_to_go_on(process):
    assert process.lines[-2].endswith(
        'saved; go on with checkpoint="latest" (on the command line: --resume).'
    )


def test_a_process_that_gets_a_signal_goes_on_exactly(process, tmp_path):
    straight = play(tmp_path, process.loader)
    folder = shutil.copytree(process.folder, tmp_path / "copy")
    outcome = play(folder, process.loader, checkpoint="latest", seed=9)
    assert same(outcome["weights"], straight["weights"])


# Two processes of torchrun


def to_torchrun_twice(run):
    """Ctrl-C and Ctrl-C again; torchrun passes both on."""
    for _ in range(2):
        run.process.send_signal(signal.SIGINT)
        time.sleep(0.05)


def to_torchrun_and_both(run):
    """As a cluster's scheduler does; torchrun passes its own on."""
    for process in (*run.ranks().values(), run.process):
        process.send_signal(signal.SIGTERM)


def to_one_of_both(run):
    run.ranks()[1].send_signal(signal.SIGTERM)


PAIRS = {
    "Ctrl-C twice": (to_torchrun_twice, "--epochs", "2"),
    "SIGTERM to all": (to_torchrun_and_both, "--epochs", "2"),
    "SIGTERM to all, FSDP": (to_torchrun_and_both, "--epochs", "2", "--fsdp"),
    "SIGTERM to one": (to_one_of_both, "--epochs", "2"),
}


class InterruptedPair:
    """Two processes that a signal ends after about 8 of 28 steps."""

    def __init__(self, folder, send, *changes):
        self.folder, self.changes = folder / "run", changes
        run = rank_kills.Run(self.folder, *changes)
        run.wait_for("Epoch 1 (Step 000007)")
        started = time.monotonic()
        send(run)
        run.end()
        self.seconds = time.monotonic() - started
        self.printed, self.errors = run.printed, run.errors

    def resumed(self):
        """What the run ends with that goes on from it."""
        return rank_kills.straight(self.folder, *self.changes, "--resume")[0]


@pytest.fixture(scope="module", params=PAIRS)
def pair(request, tmp_path_factory):
    return InterruptedPair(tmp_path_factory.mktemp("pair"), *PAIRS[request.param])


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What two processes end with that get no signal; each such run is made once."""

    @functools.cache
    def end(*changes):
        folder = tmp_path_factory.mktemp("undisturbed") / "run"
        return rank_kills.straight(folder, *changes)[0]

    return end


def test_two_processes_that_get_signals_end_with_one_more_checkpoint(pair):
    assert (pair.folder / "manifest_interrupted.json").is_file()


def test_two_processes_that_get_signals_say_once_how_to_go_on(pair):
    assert len(re.findall("^Interrupted after", pair.printed, re.MULTILINE)) == 1


def test_two_processes_that_get_signals_end_before_torchrun_kills_them(pair):
    assert pair.seconds < 30
    assert "SIGKILL" not in pair.errors


def test_two_processes_that_get_signals_go_on_exactly(pair, undisturbed):
    assert same(pair.resumed(), undisturbed(*pair.changes))


# A notebook's kernel


class Kernel:
    """A real kernel; runs cells and can be stopped as the notebook's button does."""

    def __init__(self):
        self.manager, self.client = start_new_kernel(kernel_name="python3")

    def run(self, cell, stop_at=None):
        """What the cell printed; it is interrupted when it has printed `stop_at`."""
        message_id = self.client.execute(cell)
        printed, deadline = "", time.monotonic() + 100
        while time.monotonic() < deadline:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            if message["parent_header"].get("msg_id") != message_id:
                continue
            content = message["content"]
            if message["msg_type"] == "error":
                raise RuntimeError("\n".join(content["traceback"]))
            if content.get("execution_state") == "idle":
                return printed
            printed += content.get("text", "")
            if stop_at is not None and stop_at in printed:
                self.manager.interrupt_kernel()
                stop_at = None
        raise TimeoutError(printed)

    def shut_down(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


SET_UP = f"""
import sys
sys.path.insert(0, {str(TESTS_DIR)!r})
import torch
from played import SLOW_LOADERS
from tiny import run_settings, tiny_model
from llm_helpers import pretrain_model

torch.set_num_threads(1)

def settings(folder, seed=1, **changes):
    settings = run_settings(folder, tiny_model(dropout=0.2, seed=seed), **changes)
    settings |= dict(num_epochs=3, eval_freq=4, save_freq=6)
    return settings | dict(train_loader=SLOW_LOADERS["2 workers"]())
"""


class Notebook:
    """A run that is stopped in a kernel, and continued by another cell of it."""

    def __init__(self, folder):
        kernel = Kernel()
        try:
            kernel.run(SET_UP)
            self.first = kernel.run(
                f"history = pretrain_model(**settings({str(folder)!r}))",
                stop_at="Epoch 2 (Batch 000001)",
            )
            self.entries = kernel.run("print(len(history.val_losses))")
            kernel.run(
                f"again = settings({str(folder)!r}, seed=9, checkpoint='latest')\n"
                "pretrain_model(**again)\n"
                f"torch.save(again['model'].state_dict(), {str(folder / 'end.pth')!r})"
            )
        finally:
            kernel.shut_down()
        self.weights = torch.load(folder / "end.pth", weights_only=True)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    return Notebook(tmp_path_factory.mktemp("notebook"))


def test_the_notebooks_stop_button_ends_a_run_with_a_checkpoint(notebook):
    assert (
        'saved; go on with checkpoint="latest" (on the command line: --resume).'
        in notebook.first
    )


def test_the_notebooks_stop_button_lets_the_cell_end_normally(notebook):
    assert notebook.entries in ("3\n", "4\n", "5\n")


def test_another_cell_continues_to_the_very_same_weights(notebook, tmp_path):
    straight = play(tmp_path, "2 workers")
    assert same(dict(notebook.weights), straight["weights"])
