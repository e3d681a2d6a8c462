"""Checkpoints: written whole or not at all, read only where they belong."""

import contextlib
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from tiny import (
    CONTEXT_LEN,
    adamw,
    as_the_series_wrote,
    copy_of,
    pretrain,
    run_settings,
    same,
    tiny_model,
    train_batches,
)

from llm_helpers import (
    CheckpointError,
    TrainingRun,
    calc_loss_batch,
    checkpoint_path,
    list_checkpoints,
    load_checkpoint,
    pretrain_model,
    read_state,
    save_checkpoint,
)

TESTS_DIR = Path(__file__).parent
DiskUsage = namedtuple("DiskUsage", "total used free")


def stepped(model=None, num_steps=2, **changes):
    """A model and its optimizer after some steps, so that the optimizer has state."""
    model = tiny_model() if model is None else model
    optimizer = adamw(model, **changes)
    for inputs, targets in list(train_batches())[:num_steps]:
        optimizer.zero_grad()
        calc_loss_batch(inputs, targets, model, "cpu").backward()
        optimizer.step()
    return model, optimizer


def state_of(model, optimizer):
    return copy_of([dict(model.state_dict()), optimizer.state_dict()])


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def saved(tmp_path):
    """A folder with checkpoint 0 of a model that made two steps."""
    save_checkpoint(tmp_path, 0, *stepped())
    return tmp_path


@pytest.fixture
def series(saved):
    """The same without a manifest, as the series wrote it."""
    as_the_series_wrote(saved)
    return saved


# Files


def test_the_path_of_a_checkpoint_has_six_digits(tmp_path):
    assert checkpoint_path(tmp_path, "model", 7) == tmp_path / "model_000007.pth"


def test_a_checkpoint_is_model_optimizer_and_manifest(saved):
    assert names_in(saved) == [
        *("manifest_000000.json", "model_000000.pth", "optimizer_000000.pth"),
    ]


def test_what_else_a_run_needs_is_a_file_of_its_own(saved):
    save_checkpoint(saved, 1, *stepped(), state={"batch": 3})
    assert torch.load(saved / "state_000001.pth", weights_only=True) == {"batch": 3}


def test_a_checkpoints_state_can_be_read_alone(saved):
    save_checkpoint(saved, 1, *stepped(), state={"batch": 3})
    assert [read_state(saved, number) for number in (0, 1)] == [None, {"batch": 3}]


def test_a_manifest_tells_size_and_hash_of_every_file(saved):
    manifest = json.loads((saved / "manifest_000000.json").read_text("utf-8"))
    files = [saved / name for name in ("model_000000.pth", "optimizer_000000.pth")]
    expected = {
        path.name: {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in files
    }
    assert manifest["files"] == expected


@pytest.mark.parametrize("kind", ["model", "optimizer"])
def test_each_file_loads_with_plain_torch_load(saved, kind):
    model, optimizer = stepped()
    expected = {"model": dict(model.state_dict()), "optimizer": optimizer.state_dict()}
    state = torch.load(checkpoint_path(saved, kind, 0), weights_only=True)
    assert same(dict(state), expected[kind])


def test_the_folder_is_made_with_its_parents(tmp_path):
    save_checkpoint(tmp_path / "runs" / "一", 0, *stepped())
    assert list_checkpoints(tmp_path / "runs" / "一") == [0]


def test_checkpoints_are_listed_in_ascending_order(tmp_path):
    model, optimizer = stepped()
    for number in (10, 2, 1_000_000):
        save_checkpoint(tmp_path, number, model, optimizer)
    assert list_checkpoints(tmp_path) == [2, 10, 1_000_000]


def test_a_pair_that_the_series_wrote_is_listed(series):
    assert list_checkpoints(series) == [0]


@pytest.mark.parametrize("kind", ["model", "optimizer"])
def test_half_a_pair_is_not_listed(series, kind):
    checkpoint_path(series, kind, 0).unlink()
    assert list_checkpoints(series) == []


def test_a_checkpoint_with_a_state_but_no_manifest_is_not_listed(tmp_path):
    save_checkpoint(tmp_path, 0, *stepped(), state={})
    checkpoint_path(tmp_path, "manifest", 0).unlink()
    assert list_checkpoints(tmp_path) == []


def test_other_files_are_not_listed(saved):
    for name in ("model_7.pth", "model_000007.pth.tmp", "model_000007_old.pth"):
        (saved / name).touch()
        (saved / name.replace("model", "optimizer")).touch()
    assert list_checkpoints(saved) == [0]


def test_a_missing_folder_holds_no_checkpoint(tmp_path):
    assert list_checkpoints(tmp_path / "nowhere") == []


def test_saving_a_number_again_replaces_it(saved):
    model, optimizer = stepped(num_steps=4)
    save_checkpoint(saved, 0, model, optimizer)
    state = torch.load(checkpoint_path(saved, "model", 0), weights_only=True)
    assert same(dict(state), dict(model.state_dict()))


def test_replacing_a_checkpoint_without_a_state_removes_its_state(tmp_path):
    save_checkpoint(tmp_path, 0, *stepped(), state={"batch": 3})
    save_checkpoint(tmp_path, 0, *stepped())
    assert names_in(tmp_path) == [
        *("manifest_000000.json", "model_000000.pth", "optimizer_000000.pth"),
    ]


def test_temporary_files_of_a_killed_save_go_with_the_next(saved):
    (saved / "model_000001.tmp").touch()
    save_checkpoint(saved, 2, *stepped())
    assert list(saved.glob("*.tmp")) == []


# Loading


def test_loading_puts_back_the_weights(saved):
    model, optimizer = stepped()
    expected = state_of(model, optimizer)
    other = tiny_model(seed=9)
    load_checkpoint(saved, 0, other)
    assert same(dict(other.state_dict()), expected[0])


def test_loading_puts_back_the_optimizer(saved):
    _, optimizer = stepped()
    other = tiny_model(seed=9)
    other_optimizer = adamw(other)
    load_checkpoint(saved, 0, other, other_optimizer)
    assert same(other_optimizer.state_dict(), optimizer.state_dict())


def test_a_loaded_model_and_optimizer_take_the_very_same_next_step(saved):
    inputs, targets = next(iter(train_batches()))
    other = tiny_model(seed=9)
    pairs = [stepped(), (other, adamw(other))]
    load_checkpoint(saved, 0, *pairs[1])
    for model, optimizer in pairs:
        optimizer.zero_grad()
        calc_loss_batch(inputs, targets, model, "cpu").backward()
        optimizer.step()
    assert same(state_of(*pairs[0]), state_of(*pairs[1]))


def test_loading_returns_the_state(tmp_path):
    save_checkpoint(tmp_path, 0, *stepped(), state={"batch": 3})
    assert load_checkpoint(tmp_path, 0, tiny_model()) == {"batch": 3}


def test_a_state_that_the_manifest_does_not_name_is_not_read(saved):
    torch.save({"batch": 3}, saved / "state_000000.pth")
    assert load_checkpoint(saved, 0, tiny_model()) is None


def test_loading_leaves_the_global_rng_alone(saved):
    model = tiny_model(seed=9)
    before = torch.get_rng_state()
    load_checkpoint(saved, 0, model, adamw(model))
    assert torch.equal(torch.get_rng_state(), before)


def test_saving_leaves_model_and_optimizer_alone(tmp_path):
    model, optimizer = stepped()
    before = state_of(model, optimizer)
    save_checkpoint(tmp_path, 0, model, optimizer)
    assert same(state_of(model, optimizer), before)


def test_a_checkpoint_of_the_series_with_mask_buffers_loads(series):
    path = checkpoint_path(series, "model", 0)
    state = torch.load(path, weights_only=True)
    state["trf_blocks.0.att.mask"] = torch.ones(CONTEXT_LEN, CONTEXT_LEN).triu(1)
    torch.save(state, path)
    model = tiny_model(seed=9)
    load_checkpoint(series, 0, model)
    assert same(dict(model.state_dict()), dict(stepped()[0].state_dict()))


# Checkpoints that do not belong


def refused(folder, model, optimizer=None, match=None):
    """Loading is refused with a CheckpointError, and nothing was changed."""
    optimizer = adamw(model) if optimizer is None else optimizer
    before = state_of(model, optimizer)
    with pytest.raises(CheckpointError, match=match):
        load_checkpoint(folder, 0, model, optimizer)
    return same(state_of(model, optimizer), before)


def edit(folder, kind, change):
    """Change what a file of the series' holds; no manifest protects it."""
    path = checkpoint_path(folder, kind, 0)
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


def test_a_checkpoint_of_a_wider_model_is_refused(saved):
    assert refused(
        saved,
        tiny_model(embedding_dim=32),
        match=r"model_000000\.pth belongs to another model: 'tok_emb\.weight' has "
        r"the shape \(31, 16\) there and \(31, 32\) here; build the model with the",
    )


def test_a_checkpoint_of_a_shallower_model_is_refused(saved):
    assert refused(
        saved,
        tiny_model(num_layers=2),
        match=r"another model: it lacks 'trf_blocks\.1\.att\.W_key\.weight'; build",
    )


def test_a_checkpoint_of_a_deeper_model_is_refused(tmp_path):
    save_checkpoint(tmp_path, 0, *stepped(tiny_model(num_layers=2)))
    assert refused(
        tmp_path,
        tiny_model(),
        match=r"another model: it holds an unknown 'trf_blocks\.1\..*'; build",
    )


def test_a_checkpoint_with_qkv_bias_is_refused_by_a_model_without(tmp_path):
    save_checkpoint(tmp_path, 0, *stepped(tiny_model(qkv_bias=True)))
    assert refused(
        tmp_path,
        tiny_model(),
        match=r"holds an unknown 'trf_blocks\.0\.att\.W_key\.bias'",
    )


def test_a_model_file_whose_entry_is_no_tensor_is_refused(series):
    edit(series, "model", lambda state: state.update({"out_head.weight": 3}))
    assert refused(series, tiny_model(), match=r"'out_head\.weight' has the shape \(\)")


@pytest.mark.parametrize(
    "optimizer_type", [torch.optim.SGD, torch.optim.Adam, torch.optim.NAdam]
)
def test_a_checkpoint_of_another_type_of_optimizer_is_refused(saved, optimizer_type):
    model = tiny_model()
    assert refused(
        saved,
        model,
        optimizer_type(model.parameters(), lr=0.1),
        match=r"optimizer_000000\.pth belongs to another type of optimizer than "
        rf"{optimizer_type.__name__}; build the optimizer of that run",
    )


def test_an_optimizer_over_fewer_parameters_is_refused(saved):
    model = tiny_model()
    optimizer = torch.optim.AdamW([model.tok_emb.weight])
    assert refused(saved, model, optimizer, match="another model: its optimizer holds")


def test_an_optimizer_over_parameters_of_other_shapes_is_refused(series, tmp_path):
    other = stepped(tiny_model(embedding_dim=32))[1]
    torch.save(other.state_dict(), checkpoint_path(series, "optimizer", 0))
    assert refused(series, tiny_model(), match="another model: its optimizer holds")


def test_an_optimizer_file_with_state_of_unknown_parameters_is_refused(series):
    edit(series, "optimizer", lambda s: s["state"].update({99: dict(s["state"][0])}))
    assert refused(series, tiny_model(), match="another model: its optimizer holds")


@pytest.mark.parametrize(
    "state", [{}, {"param_groups": []}, {"state": {}, "param_groups": [3]}]
)
def test_an_optimizer_file_without_optimizer_state_is_refused(series, state):
    torch.save(state, checkpoint_path(series, "optimizer", 0))
    assert refused(
        series, tiny_model(), match="holds no optimizer state; continue from"
    )


def test_a_model_file_in_the_optimizers_place_is_refused(series):
    shutil.copy(series / "model_000000.pth", series / "optimizer_000000.pth")
    assert refused(
        series, tiny_model(), match="holds no optimizer state; continue from"
    )


@pytest.mark.parametrize("content", [[1, 2], 3, "text", None])
def test_a_file_that_holds_no_state_dict_is_refused(series, content):
    torch.save(content, checkpoint_path(series, "model", 0))
    kind = type(content).__name__
    assert refused(
        series, tiny_model(), match=f"holds a {kind} instead of a state dict"
    )


# Damaged files, where no manifest tells their hash; `tests/faults` has the others


@pytest.mark.parametrize("kind", ["model", "optimizer"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(series, kind, share):
    path = checkpoint_path(series, kind, 0)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert refused(
        series,
        tiny_model(),
        match=rf"{path.name} is damaged; continue from another checkpoint",
    )


def test_a_file_that_lacks_its_last_byte_is_refused(series):
    path = checkpoint_path(series, "model", 0)
    path.write_bytes(path.read_bytes()[:-1])
    assert refused(series, tiny_model(), match="is damaged; continue from another")


@pytest.mark.parametrize(
    "content",
    [
        b"this is no checkpoint",
        b"<html><title>404</title></html>",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n",
        "断了的剑".encode(),
        bytes(5000),
        *(b".", b"J", b"qr", b"s", b"\x80\x02}q\x00(X\x10"),
    ],
)
def test_a_file_of_garbage_is_refused(series, content):
    checkpoint_path(series, "model", 0).write_bytes(content)
    assert refused(series, tiny_model(), match="is damaged; continue from another")


class Malicious:
    """Unpickled carelessly, it makes a folder."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_a_malicious_checkpoint_is_refused(series):
    state = {**stepped()[0].state_dict(), "evil": Malicious(series / "evil")}
    torch.save(state, checkpoint_path(series, "model", 0))
    assert refused(
        series,
        tiny_model(),
        match=r"model_000000\.pth holds more than tensors .* nothing in it was executed"
        "; use only checkpoints that you trust",
    )


def test_nothing_in_a_malicious_checkpoint_is_executed(series):
    torch.save(Malicious(series / "evil"), checkpoint_path(series, "model", 0))
    refused(series, tiny_model())
    assert not (series / "evil").exists()


def test_nothing_in_a_malicious_plain_pickle_is_executed(series):
    path = checkpoint_path(series, "model", 0)
    path.write_bytes(pickle.dumps(Malicious(series / "evil"), protocol=2))
    refused(series, tiny_model())
    assert not (series / "evil").exists()


def test_the_malicious_checkpoint_of_these_tests_does_harm_elsewhere(saved):
    pickle.loads(pickle.dumps(Malicious(saved / "evil")))
    assert (saved / "evil").exists()


def test_a_missing_number_lists_those_there_are(saved):
    save_checkpoint(saved, 3, *stepped())
    with pytest.raises(
        FileNotFoundError,
        match=r"model_000007\.pth does not exist; complete checkpoints: 0, 3$",
    ):
        load_checkpoint(saved, 7, tiny_model())


def test_a_missing_number_in_an_empty_folder_says_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"complete checkpoints: none$"):
        load_checkpoint(tmp_path, 0, tiny_model())


def test_a_missing_optimizer_file_changes_nothing(series):
    checkpoint_path(series, "optimizer", 0).unlink()
    model = tiny_model(seed=9)
    before = copy_of(dict(model.state_dict()))
    with pytest.raises(
        FileNotFoundError, match=r"optimizer_000000\.pth does not exist"
    ):
        load_checkpoint(series, 0, model, adamw(model))
    assert same(dict(model.state_dict()), before)


# A disk that is full


@pytest.fixture
def full_disk(monkeypatch):
    """The disk seems to have 10 bytes left."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: DiskUsage(10**9, 10**9, 10))


@pytest.mark.usefixtures("full_disk")
def test_a_disk_too_full_is_refused(tmp_path):
    with pytest.raises(
        OSError,
        match=r"a checkpoint needs 1\.\d MB and .* has 0\.0 MB free; "
        "free some or choose another checkpoint_dir",
    ):
        save_checkpoint(tmp_path, 0, *stepped())


@pytest.mark.usefixtures("full_disk")
def test_a_disk_too_full_leaves_no_file(tmp_path):
    with pytest.raises(OSError, match="MB free"):
        save_checkpoint(tmp_path, 0, *stepped())
    assert names_in(tmp_path) == []


def test_the_needed_space_counts_weights_and_optimizer_state(tmp_path, monkeypatch):
    model, optimizer = stepped()
    weights = sum(p.numel() * 4 for p in model.parameters())
    enough, too_little = 3 * weights + 1_100_000, 3 * weights + 990_000
    saved = []
    for number, free in enumerate((enough, too_little)):
        usage = DiskUsage(10**9, 0, free)
        monkeypatch.setattr(shutil, "disk_usage", lambda path, usage=usage: usage)
        with contextlib.suppress(OSError):
            save_checkpoint(tmp_path, number, model, optimizer)
            saved.append(number)
    assert saved == [0]


FAILING_WRITE = """
import resource, sys
sys.path.insert(0, sys.argv[1])
import torch
from test_checkpoint import stepped
from tiny import tiny_model
from llm_helpers import save_checkpoint

def refused(folder, number, model, optimizer, limit):
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        save_checkpoint(folder, number, model, optimizer)
    except OSError as error:
        print(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

torch.set_num_threads(1)  # as in the tests, for equal weights
new, replaced = sys.argv[2:]
save_checkpoint(new, 0, *stepped())
refused(new, 1, *stepped(), limit=20_000)  # in the middle of the optimizer's file

model = tiny_model()
save_checkpoint(replaced, 0, model, torch.optim.SGD(model.parameters(), lr=0.1))
later = torch.optim.SGD(model.parameters(), lr=0.2)
refused(replaced, 0, model, later, limit=20_000)  # in the middle of the model's file
"""


@pytest.fixture(scope="module")
def failed_writes(tmp_path_factory):
    """What a process printed and left whose writes really failed half-way."""
    pytest.importorskip("resource", reason="file-size limits are POSIX")
    new, replaced = (tmp_path_factory.mktemp(name) for name in ("new", "replaced"))
    process = subprocess.run(
        [sys.executable, "-c", FAILING_WRITE, TESTS_DIR, new, replaced],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        timeout=200,
        check=True,
    )
    return process.stdout.splitlines(), new, replaced


def test_a_write_that_fails_half_way_is_told_in_one_sentence(failed_writes):
    printed, new, _ = failed_writes
    assert printed[0].startswith(f"checkpoint 1 could not be written to {new} (")
    assert "earlier checkpoints are whole, free some space" in printed[0]


def test_a_write_that_fails_half_way_leaves_no_new_file(failed_writes):
    _, new, _ = failed_writes
    assert names_in(new) == [
        *("manifest_000000.json", "model_000000.pth", "optimizer_000000.pth"),
    ]


def test_after_a_write_that_fails_the_earlier_checkpoint_loads(failed_writes):
    _, new, _ = failed_writes
    model = tiny_model(seed=9)
    load_checkpoint(new, 0, model, adamw(model))
    assert same(dict(model.state_dict()), dict(stepped()[0].state_dict()))


def test_a_replacement_that_fails_half_way_is_told(failed_writes):
    printed, _, replaced = failed_writes
    assert printed[1].startswith(f"checkpoint 0 could not be written to {replaced} (")


def test_a_replacement_that_fails_half_way_keeps_the_earlier_pair(failed_writes):
    _, _, replaced = failed_writes
    model = tiny_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=9.0)
    load_checkpoint(replaced, 0, model, optimizer)
    assert optimizer.param_groups[0]["lr"] == 0.1


# A run into a used folder


def contents_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix}


def test_a_fresh_run_keeps_all_that_an_earlier_one_wrote(tmp_path):
    pretrain(tmp_path)
    earlier = contents_of(tmp_path)
    pretrain(tmp_path, tiny_model(seed=9))
    assert contents_of(tmp_path / "superseded-1") == earlier


def test_a_fresh_run_says_where_it_put_older_checkpoints(tmp_path, capsys):
    pretrain(tmp_path)
    capsys.readouterr()
    pretrain(tmp_path)
    first = capsys.readouterr().out.splitlines()[0]
    aside = tmp_path / "superseded-1"
    assert first == f"Newer checkpoints of an earlier run were moved to {aside}."


def test_a_fresh_run_into_an_empty_folder_says_nothing_of_it(tmp_path, capsys):
    pretrain(tmp_path)
    assert capsys.readouterr().out.startswith("This run writes 3 checkpoints")


def test_a_third_run_makes_another_folder(tmp_path):
    for _ in range(3):
        pretrain(tmp_path)
    folders = [name for name in names_in(tmp_path) if "." not in name]
    assert folders == ["superseded-1", "superseded-2"]


def test_a_fresh_run_numbers_from_0(tmp_path):
    pretrain(tmp_path)
    pretrain(tmp_path, num_epochs=2)
    assert list_checkpoints(tmp_path) == [0, 1, 2, 3, 4]


def test_half_a_checkpoint_is_moved_too(tmp_path):
    pretrain(tmp_path)
    (tmp_path / "model_000002.pth").unlink()
    pretrain(tmp_path)
    assert "optimizer_000002.pth" in names_in(tmp_path / "superseded-1")


def test_other_files_in_a_used_folder_stay(tmp_path):
    pretrain(tmp_path)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "superseded-of-mine").mkdir()
    (tmp_path / "superseded-1 (copy)").mkdir()
    pretrain(tmp_path)
    assert {"notes.txt", "superseded-of-mine"} <= set(names_in(tmp_path))


# Going on from the series' own checkpoints: two files, the position is unknown


@pytest.fixture
def series_run(tmp_path, capsys):
    """Checkpoints 0, 1, 2 as the series wrote them, `mask` buffers too."""
    pretrain(tmp_path)
    as_the_series_wrote(tmp_path)
    for path in tmp_path.glob("model_*.pth"):
        mask = torch.ones(CONTEXT_LEN, CONTEXT_LEN).triu(1)
        state = torch.load(path, weights_only=True)
        torch.save({**state, "trf_blocks.0.att.mask": mask}, path)
    capsys.readouterr()
    return tmp_path


def test_going_on_starts_from_the_checkpoints_weights(series_run):
    batches = list(train_batches())
    expected = tiny_model()
    load_checkpoint(series_run, 1, expected)
    settings = run_settings(series_run, tiny_model(seed=9), train_loader=batches)
    steps = TrainingRun(**settings | {"checkpoint": 1}).steps()
    loss = next(steps).loss
    steps.close()
    assert loss == calc_loss_batch(*batches[0], expected, "cpu").item()


def test_going_on_restores_the_optimizer(tmp_path):
    batches = list(train_batches())
    expected = pretrain(tmp_path / "at once", train_loader=batches, num_epochs=2)
    pretrain(tmp_path / "in two", train_loader=batches)
    as_the_series_wrote(tmp_path / "in two")
    model = tiny_model(seed=9)
    pretrain(tmp_path / "in two", model, train_loader=batches, checkpoint=2)
    assert same(dict(model.state_dict()), dict(expected.state_dict()))


def test_going_on_numbers_from_the_next(series_run):
    pretrain(series_run, checkpoint=2)
    assert list_checkpoints(series_run) == [0, 1, 2, 3, 4, 5]


def test_going_on_warns_that_the_position_is_unknown(series_run, capsys):
    pretrain(series_run, checkpoint=2, num_epochs=3)
    assert capsys.readouterr().out.splitlines()[0] == (
        "Warning: checkpoint 000002 holds weights and optimizer; its position in the "
        "data is unknown. Training 3 epochs from there."
    )


def test_going_on_trains_num_epochs_epochs(series_run):
    history = pretrain_model(**run_settings(series_run, checkpoint=2, eval_freq=1))
    assert len(history.val_losses) == 7


def test_latest_goes_on_from_the_highest_number(series_run, capsys):
    pretrain(series_run, checkpoint="latest")
    assert capsys.readouterr().out.startswith("Warning: checkpoint 000002 holds")


def test_latest_passes_over_half_a_pair(series_run, capsys):
    (series_run / "model_000002.pth").unlink()
    pretrain(series_run, checkpoint="latest")
    assert (
        capsys.readouterr()
        .out.splitlines()[1]
        .startswith("Warning: checkpoint 000001 holds")
    )


def test_latest_says_that_it_passes_over_half_a_pair(series_run, capsys):
    (series_run / "model_000002.pth").unlink()
    pretrain(series_run, checkpoint="latest")
    assert capsys.readouterr().out.splitlines()[0] == (
        "Warning: checkpoint 000002 is incomplete and ignored."
    )


def test_what_is_saved_from_there_on_resumes_exactly(series_run):
    straight = pretrain(series_run, checkpoint=2, num_epochs=2)
    model = tiny_model(seed=9)
    pretrain(series_run, model, checkpoint=4, num_epochs=2)
    assert same(dict(model.state_dict()), dict(straight.state_dict()))
