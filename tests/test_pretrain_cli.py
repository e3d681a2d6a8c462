"""The command line: `python -m llm_helpers.pretrain`."""

import os
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from tiny import same

from llm_helpers import GPTModel, list_checkpoints
from llm_helpers.gpt2_weights import places
from llm_helpers.options import parse_arguments
from llm_helpers.parallel import best_device
from llm_helpers.pretrain import main

CHINESE = "老渡口的船家点起灯，剑客把茶碗放在桌上，谁也没有说话。" * 6
ENGLISH = "The ferry waits for no one. The old woman lit the lamp and sat down. " * 12
TINY = (
    *("--embedding-dim", "8", "--layers", "1", "--heads", "1", "--context-len", "16"),
    *("--epochs", "1", "--batch-size", "4", "--eval-freq", "3", "--eval-iter", "1"),
    *("--save-freq", "1000", "--sample-tokens", "8", "--device", "cpu"),
)


def command(*arguments, cwd, **environment):
    """Run the command line in a process of its own; its output as bytes."""
    return subprocess.run(
        [sys.executable, "-m", "llm_helpers.pretrain", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        timeout=200,
    )


def write_folder(path, **texts):
    path.mkdir(parents=True)
    for name, text in texts.items():
        (path / f"{name}.txt").write_text(text, encoding="utf-8")
    return path


# A real run, in a process of its own


class RealRun:
    """A run on Chinese texts in another working directory, on a cp1252 console."""

    def __init__(self, folder):
        texts = write_folder(folder / "my texts", 第一章=CHINESE, 第二章=CHINESE)
        self.elsewhere = write_folder(folder / "elsewhere")
        self.process = command(
            *("--train", texts, "--out", "runs here", "--prompt", "剑客", *TINY),
            cwd=self.elsewhere,
            PYTHONIOENCODING="cp1252",
        )
        self.out = self.elsewhere / "runs here"
        self.printed = self.process.stdout.decode("utf-8")


@pytest.fixture(scope="module")
def real_run(tmp_path_factory):
    return RealRun(tmp_path_factory.mktemp("real"))


def test_a_run_ends_with_exit_code_0(real_run):
    assert real_run.process.returncode == 0, real_run.process.stderr.decode()


def test_a_run_writes_checkpoints_where_it_was_told(real_run):
    assert list_checkpoints(real_run.out) == [0, 1]


def test_a_run_draws_its_loss_curves(real_run):
    assert (real_run.out / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_writes_nothing_else(real_run):
    assert sorted(path.name for path in real_run.out.iterdir()) == [
        *("losses.png", "manifest_000000.json", "manifest_000001.json"),
        *("model_000000.pth", "model_000001.pth"),
        *("optimizer_000000.pth", "optimizer_000001.pth"),
        *("state_000000.pth", "state_000001.pth"),
    ]


def test_a_run_prints_utf8_on_any_console(real_run):
    assert "剑客" in real_run.printed


def test_a_run_tells_its_size_first(real_run):
    assert re.match(
        r"[\d,]+ parameters, \d+ training batches of 4 x 16 tokens, 1 epochs, on cpu\n",
        real_run.printed,
    )


def test_a_run_prints_the_losses_of_its_evaluations(real_run):
    assert re.search(
        r"Epoch 1 \(Step 000003\): Train loss \d+\.\d{3}, Val loss \d+\.\d{3}\n",
        real_run.printed,
    )


def test_a_run_prints_the_epochs_end(real_run):
    assert "Epoch 1 finished, checkpoint: 000001" in real_run.printed


def test_a_run_ends_with_the_validation_loss_and_its_perplexity(real_run):
    assert re.search(
        r"Validation loss \d+\.\d{3} nats per token, perplexity [\d,]+\.\d\n",
        real_run.printed,
    )


def test_a_run_ends_with_a_sample_from_the_prompt(real_run):
    assert re.search(r"Sample \(top-k 20, temperature 0\.8\):\n剑客", real_run.printed)


def test_help_names_every_option():
    process = command("--help", cwd=None)
    options = set(re.findall(r"--[a-z0-9-]+", process.stdout.decode("utf-8")))
    assert options >= {
        *("--train", "--val", "--val-fraction", "--prompt", "--embedding-dim"),
        *("--layers", "--heads", "--context-len", "--dropout", "--epochs"),
        *("--batch-size", "--lr", "--weight-decay", "--seed", "--device"),
        *("--eval-freq", "--eval-iter", "--out", "--save-freq", "--sample-tokens"),
        *("--top-k", "--temperature", "--resume", "--keep-last", "--keep-best"),
        *("--size", "--gpt2-weights", "--compile", "--fsdp", "--threads"),
    }


@pytest.fixture(scope="module")
def wrong_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrong")
    return command("--train", "nowhere", "--out", "runs", cwd=folder), folder


def test_a_wrong_folder_ends_with_exit_code_1(wrong_folder):
    process, _ = wrong_folder
    assert process.returncode == 1


def test_a_wrong_folder_is_told_in_one_line(wrong_folder):
    process, _ = wrong_folder
    assert process.stderr.decode("utf-8").splitlines() == [
        "error: no file or folder nowhere; check data_path"
    ]


def test_a_wrong_folder_leaves_nothing_behind(wrong_folder):
    _, folder = wrong_folder
    assert list(folder.iterdir()) == []


# In this process: settings and refusals


@pytest.fixture
def train(tmp_path, capsys):
    """Runs the command line on English texts; returns what it printed."""
    texts = write_folder(tmp_path / "texts", a=ENGLISH, b=ENGLISH)
    out = tmp_path / "out"

    def run(*changes):
        main(["--train", str(texts), "--out", str(out), *TINY, *changes])
        return capsys.readouterr().out

    return run


def settings_of_checkpoint(folder, number=0):
    path = folder / f"optimizer_{number:06d}.pth"
    [group] = torch.load(path, weights_only=True)["param_groups"]
    return group


def test_the_optimizer_is_adamw_with_the_series_settings(train, tmp_path):
    train()
    group = settings_of_checkpoint(tmp_path / "out")
    settings = (group["lr"], group["weight_decay"], group["decoupled_weight_decay"])
    assert settings == (6e-4, 0.1, True)


def test_the_same_seed_gives_the_same_output(train, tmp_path):
    first = train()
    (tmp_path / "out").rename(tmp_path / "first")
    assert train() == first


def test_another_seed_gives_another_output(train, tmp_path):
    first = train()
    (tmp_path / "out").rename(tmp_path / "first")
    assert train("--seed", "7") != first


def test_a_folder_of_validation_texts_can_be_given(train, tmp_path):
    texts = write_folder(tmp_path / "val", a=ENGLISH)
    whole = train()
    (tmp_path / "out").rename(tmp_path / "first")
    batches = [
        int(re.search(r"(\d+) training batches", printed)[1])
        for printed in (whole, train("--val", str(texts)))
    ]
    assert batches[0] < batches[1]  # no part of --train is kept apart


def test_a_second_run_keeps_the_first(train, tmp_path):
    train()
    assert f"moved to {tmp_path / 'out' / 'superseded-1'}." in train()


@pytest.fixture
def half(train):
    """A run of 1 epoch was made, to be continued to 2; this runs on."""
    train()
    return lambda *changes: train("--epochs", "2", *changes)


def weights(folder, number):
    return dict(torch.load(folder / f"model_{number:06d}.pth", weights_only=True))


@pytest.mark.parametrize("resume", [["--resume"], ["--resume", "1"]])
def test_a_resumed_run_ends_with_the_same_weights(train, half, tmp_path, resume):
    half(*resume)
    resumed = weights(tmp_path / "out", 2)
    train("--epochs", "2")
    assert same(resumed, weights(tmp_path / "out", 2))


def test_resume_says_where_it_continues(half):
    assert "Continuing from checkpoint 000001: " in half("--resume")


def test_resuming_a_finished_run_says_so(half):
    half()
    assert "This run has finished its 2 epochs." in half("--resume")


def test_resuming_a_finished_run_reports_again(half):
    half()
    assert "Validation loss" in half("--resume")


def test_resuming_from_a_missing_number_is_told_in_one_sentence(half):
    with pytest.raises(SystemExit, match=r"^error: .* complete checkpoints: 0, 1$"):
        half("--resume", "7")


def test_keep_last_keeps_that_many_checkpoints(half, tmp_path):
    half("--keep-last", "1")
    assert list_checkpoints(tmp_path / "out") == [2]


def test_keep_best_keeps_the_best_beside_them(half, tmp_path):
    half("--keep-last", "1", "--keep-best", "--lr", "0")  # never better than at first
    assert list_checkpoints(tmp_path / "out") == [0, 2]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (["--keep-last", "0"], "keep_last=0 must be .*at least 1"),
        (["--heads", "3"], "embedding_dim=8 is not divisible by num_heads=3; try"),
        (["--epochs", "0"], "num_epochs=0 must be .*at least 1"),
        (["--val-fraction", "2"], "val_fraction=2.0 must lie between 0 and 1"),
        (["--val-fraction", "0.01"], "fewer than one window of context_len=16"),
        (["--context-len", "5000"], "fewer than one window of context_len=5000"),
        (["--batch-size", "1000"], "train_loader is empty: .* lower batch_size"),
        (["--prompt", ""], "start_context is empty; give"),
        (["--dropout", "1"], r"dropout=1\.0 must be at least 0 and below 1"),
        (["--device", "gpu"], "gpu.*cpu"),
        (["--fsdp"], "--fsdp spreads the model over several processes; start .*torchr"),
        (["--gpt2-weights", "none.safetensors"], "no file none.safetensors; take"),
        (["--top-k", "0"], "top_k=0 must be at least 1"),
        (["--temperature", "0"], r"temperature=0\.0 must be above 0"),
        (["--sample-tokens", "-1"], "max_new_tokens=-1 must be at least 0"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_trained(
    train, tmp_path, changes, sentence
):
    with pytest.raises(SystemExit, match=f"^error: .*{sentence}"):
        train(*changes)
    assert not (tmp_path / "out").exists()


def test_an_infinite_learning_rate_is_told_in_one_sentence(train):
    with pytest.raises(
        SystemExit, match=r"^error: the training loss is nan at step 1;"
    ):
        train("--lr", "inf")


# Optimization habits and the token cache


HABITS = (
    *("--warmup-steps", "2", "--final-lr-share", "0.2", "--max-grad-norm", "1"),
    *("--accumulation-steps", "2", "--decay-matrices-only", "--autocast"),
)


def last_checkpoint(folder):
    number = list_checkpoints(folder)[-1]
    paths = [folder / f"{kind}_{number:06d}.pth" for kind in ("model", "optimizer")]
    return [torch.load(path, weights_only=True) for path in paths]


def test_the_habits_reach_the_optimizer(tmp_path):
    texts = write_folder(tmp_path / "texts", a=ENGLISH * 4)
    main(["--train", str(texts), "--out", str(tmp_path / "out"), *TINY, *HABITS])
    _, optimizer = last_checkpoint(tmp_path / "out")
    matrices, vectors = optimizer["param_groups"]
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)
    assert matrices["initial_lr"] == 6e-4
    assert matrices["lr"] == pytest.approx(0.2 * 6e-4)


def test_a_run_with_habits_is_interrupted_and_continued_exactly(tmp_path):
    texts = write_folder(tmp_path / "texts", a=ENGLISH * 4)
    settings = ["--train", str(texts), *TINY, *HABITS, "--save-freq", "1"]
    main([*settings, "--out", str(tmp_path / "whole")])
    main([*settings, "--out", str(tmp_path / "cut")])
    main([*settings, "--out", str(tmp_path / "cut"), "--resume", "1"])
    whole, cut = (last_checkpoint(tmp_path / name) for name in ("whole", "cut"))
    assert same(whole, cut)


def test_a_schedule_of_another_length_does_not_continue_a_run(tmp_path):
    texts = write_folder(tmp_path / "texts", a=ENGLISH * 4)
    settings = ["--train", str(texts), "--out", str(tmp_path / "out"), *TINY, *HABITS]
    main(settings)
    with pytest.raises(SystemExit, match="the checkpoint is of another run: schedule"):
        main([*settings, "--resume", "--epochs", "3"])


def test_a_token_cache_gives_the_same_run(tmp_path):
    texts = write_folder(tmp_path / "texts", a=ENGLISH * 4)
    for name, more in (("plain", []), ("kept", ["--token-cache", str(tmp_path / "c")])):
        main(["--train", str(texts), "--out", str(tmp_path / name), *TINY, *more])
    plain, kept = (last_checkpoint(tmp_path / name) for name in ("plain", "kept"))
    assert same(plain, kept)
    assert len(list((tmp_path / "c").iterdir())) == 1


@pytest.mark.parametrize(
    ("flag", "kept"), [([], True), (["--hand-memory-back"], False)]
)
def test_freed_memory_is_kept_unless_it_is_to_be_handed_back(
    tmp_path, monkeypatch, flag, kept
):
    asked = []
    monkeypatch.setattr("llm_helpers.pretrain.keep_freed_memory", asked.append)
    texts = write_folder(tmp_path / "texts", a=ENGLISH)
    main(["--train", str(texts), "--out", str(tmp_path / "out"), *TINY, *flag])
    assert asked == [kept]


# Sizes, published weights, devices


def test_a_size_sets_what_is_not_given():
    args = parse_arguments(["--size", "gpt2-medium", "--layers", "2"])
    sizes = (args.embedding_dim, args.layers, args.heads, args.context_len)
    assert sizes == (1024, 2, 16, 1024)


def test_without_a_device_the_best_one_is_taken(tmp_path, capsys):
    texts = write_folder(tmp_path / "texts", a=ENGLISH * 4)
    settings = [s for s in TINY if s not in ("--device", "cpu")]
    main(["--train", str(texts), "--out", str(tmp_path / "out"), *settings])
    assert f"1 epochs, on {best_device().type}\n" in capsys.readouterr().out


def test_training_goes_on_from_published_weights(tmp_path, capsys):
    texts = write_folder(tmp_path / "texts", a=ENGLISH * 4)
    model = GPTModel(64, 1, 1, 32, 50257, 0.0, True)
    tensors = {
        name: torch.cat([part.detach() for part in parts], dim=-1).contiguous()
        for name, parts in places(model).items()
    }
    save_file(tensors, tmp_path / "model.safetensors")
    where = ["--train", str(texts), "--out", str(tmp_path / "out"), *TINY]
    main([*where, "--gpt2-weights", str(tmp_path), "--lr", "0", "--dropout", "0"])
    weights, _ = last_checkpoint(tmp_path / "out")
    for name, weight in model.state_dict().items():
        assert torch.equal(weights[name], weight)


def test_threads_can_be_set(train):
    before = torch.get_num_threads()
    train("--threads", "2")
    threads = torch.get_num_threads()
    torch.set_num_threads(before)
    assert threads == 2
