"""The same run on every device that is here; the CPU is the reference.

Devices that are not here are skipped, and pytest says so.
"""

import shutil

import pytest
import torch
from tiny import adamw, run_settings, tiny_model, train_batches

from llm_helpers import TrainingRun, calc_loss_batch, pretrain_model
from llm_helpers.parallel import best_device

AVAILABLE = {
    "cpu": True,
    "cuda": torch.cuda.is_available(),
    "mps": torch.backends.mps.is_available(),
}


@pytest.fixture(
    params=[
        pytest.param(
            name, marks=pytest.mark.skipif(not there, reason=f"no {name} device here")
        )
        for name, there in AVAILABLE.items()
    ]
)
def device(request):
    return request.param


def train(folder, device, **changes):
    """(weights on the CPU, losses of all batches) of a run of 2 epochs with dropout."""
    model = tiny_model(dropout=changes.pop("dropout", 0.1)).to(device)
    torch.manual_seed(changes.pop("seed", 1))
    settings = run_settings(folder, model, device=device, num_epochs=2, save_freq=5)
    run = TrainingRun(**settings | dict(say=lambda line: None) | changes)
    list(run.steps())
    return {k: v.cpu() for k, v in model.state_dict().items()}, run.log.batch_losses


def test_the_best_device_is_the_accelerator_if_there_is_one():
    expected = next((n for n in ("cuda", "mps") if AVAILABLE[n]), "cpu")
    assert best_device().type == expected


def test_the_loss_of_a_batch_is_that_of_the_cpu(device):
    batch = next(iter(train_batches()))
    losses = [
        calc_loss_batch(*batch, tiny_model().to(d), d).item() for d in ("cpu", device)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_without_dropout_a_run_has_the_losses_of_the_cpu(device, tmp_path):
    _, expected = train(tmp_path / "cpu", "cpu", dropout=0.0)
    _, losses = train(tmp_path / "device", device, dropout=0.0)
    assert losses == pytest.approx(expected, abs=1e-3)


def test_a_run_is_continued_on_its_device(device, tmp_path):
    """To the last bit on a CPU; elsewhere sums may differ in their last digits."""
    tolerance = 0.0 if device == "cpu" else 1e-4
    weights, losses = train(tmp_path, device)
    resumed, again = train(tmp_path, device, checkpoint=1, seed=9)
    assert losses == pytest.approx(again, abs=tolerance)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, resumed[name], rtol=0, atol=tolerance)


def test_a_checkpoint_of_a_device_is_continued_on_the_cpu(device, tmp_path):
    _, losses = train(tmp_path, device, dropout=0.0)
    _, again = train(tmp_path, "cpu", dropout=0.0, checkpoint=1, seed=9)
    assert losses == pytest.approx(again, abs=1e-3)


def test_bfloat16_stays_near_the_full_precision(device, tmp_path):
    _, expected = train(tmp_path / "full", device, dropout=0.0)
    _, losses = train(tmp_path / "half", device, dropout=0.0, autocast=True)
    assert losses == pytest.approx(expected, rel=0.02)


def test_the_fused_optimizer_makes_the_same_steps(device, tmp_path):
    losses = []
    for fused in (False, True):
        model = tiny_model().to(device)
        settings = run_settings(tmp_path / f"{fused}", model, device=device)
        settings["optimizer"] = adamw(model, fused=fused)
        losses.append(pretrain_model(**settings).train_losses)
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a compiler")
@pytest.mark.skipif(
    " " in torch.__file__, reason="torch.compile gives g++ paths without quotes"
)
def test_a_compiled_run_has_the_losses_of_a_plain_one(device, tmp_path):
    _, expected = train(tmp_path / "plain", device, dropout=0.0)
    _, losses = train(tmp_path / "compiled", device, dropout=0.0, compile=True)
    assert losses == pytest.approx(expected, abs=1e-3)
