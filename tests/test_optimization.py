"""One optimizer step: schedule, clipping, accumulation, weight decay, bfloat16."""

import math

import pytest
import torch
from tiny import adamw, pretrain, run_settings, same, tiny_model, train_batches
from torch.utils.data import DataLoader

from llm_helpers import (
    CheckpointError,
    TrainingRun,
    WarmupCosine,
    checkpoint_path,
    load_checkpoint,
    pretrain_model,
    weight_decay_groups,
)
from llm_helpers.loss_explorer import LossExplorer

SCHEDULE = WarmupCosine(warmup_steps=3, total_steps=14, final_share=0.1)
HABITS = {
    "schedule": dict(schedule=SCHEDULE),
    "clipping": dict(max_grad_norm=0.5),
    "accumulation": dict(accumulation_steps=3),
    "bfloat16": dict(autocast=True),
    "all": dict(
        schedule=SCHEDULE, max_grad_norm=0.5, accumulation_steps=3, autocast=True
    ),
}


def quiet_run(folder, model=None, **changes):
    return TrainingRun(**run_settings(folder, model, **changes), say=lambda line: None)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def learning_rates(folder, **changes):
    """The learning rate with which each step was made."""
    run = quiet_run(folder, **changes)
    used = []
    run.optimizer.register_step_pre_hook(
        lambda optimizer, *_: used.append(optimizer.param_groups[0]["lr"])
    )
    for _ in run.steps():
        pass
    return used


# Learning-rate schedule


def test_the_warm_up_rises_in_a_straight_line_to_the_peak():
    schedule = WarmupCosine(warmup_steps=4, total_steps=20)
    assert [schedule(step) for step in range(4)] == [0.25, 0.5, 0.75, 1.0]


def test_the_cosine_falls_from_the_peak_to_its_final_share():
    schedule = WarmupCosine(warmup_steps=4, total_steps=24, final_share=0.2)
    assert schedule(4) == 1.0
    assert schedule(14) == pytest.approx((1 + 0.2) / 2)
    assert [schedule(24), schedule(1000)] == pytest.approx([0.2, 0.2])


def test_a_schedule_without_warm_up_begins_at_the_peak():
    assert WarmupCosine(warmup_steps=0, total_steps=10)(0) == 1.0


def test_the_schedule_is_that_of_pytorchs_cosine_after_the_warm_up():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10, eta_min=0.1)
    ours = WarmupCosine(warmup_steps=5, total_steps=15)
    for step in range(5, 16):
        assert ours(step) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_each_step_is_made_with_the_schedules_learning_rate(tmp_path):
    used = learning_rates(tmp_path, schedule=SCHEDULE, num_epochs=2)
    assert used == [6e-4 * SCHEDULE(step) for step in range(14)]


def test_without_a_schedule_the_learning_rate_stays(tmp_path):
    assert learning_rates(tmp_path) == [6e-4] * 7


def test_any_function_of_the_step_is_a_schedule(tmp_path):
    used = learning_rates(tmp_path, schedule=lambda step: 1 / (1 + step))
    assert used == pytest.approx([6e-4 / (1 + step) for step in range(7)])


def test_every_group_of_parameters_follows_the_schedule(tmp_path):
    model = tiny_model()
    groups = weight_decay_groups(model, 0.1)
    groups[1]["lr"] = 1e-3
    run = quiet_run(
        tmp_path,
        model,
        optimizer=torch.optim.AdamW(groups, lr=2e-3),
        schedule=lambda step: 0.5,
    )
    next(run.steps())
    assert [group["lr"] for group in run.optimizer.param_groups] == [1e-3, 5e-4]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (dict(warmup_steps=9, total_steps=9), "warmup_steps=9 must be at least 0 and"),
        (dict(warmup_steps=-1, total_steps=9), "warmup_steps=-1 must be at least 0"),
        (
            dict(warmup_steps=1, total_steps=9, final_share=1.5),
            r"final_share=1\.5 must be at least 0 and at most 1",
        ),
    ],
)
def test_a_schedule_that_cannot_be_is_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        WarmupCosine(**settings)


def test_another_schedule_does_not_continue_a_run(tmp_path):
    pretrain(tmp_path, schedule=SCHEDULE)
    longer = WarmupCosine(warmup_steps=3, total_steps=28)
    with pytest.raises(CheckpointError, match=r"schedule = Warmup.*=14.* there and "):
        pretrain(tmp_path, schedule=longer, num_epochs=2, checkpoint="latest")


def test_a_checkpoint_of_a_scheduled_run_loads_into_a_plain_optimizer(tmp_path):
    pretrain(tmp_path, schedule=SCHEDULE)
    model = tiny_model(seed=2)
    load_checkpoint(tmp_path, 2, model, adamw(model))
    saved = torch.load(checkpoint_path(tmp_path, "model", 2), weights_only=True)
    assert same(saved, model.state_dict())


# Clipping


def test_larger_gradients_are_scaled_down_to_the_norm(tmp_path):
    run = quiet_run(tmp_path, max_grad_norm=0.25)
    next(run.steps())
    gradients = [p.grad.flatten() for p in run.model.parameters()]
    assert torch.cat(gradients).norm().item() == pytest.approx(0.25, rel=1e-4)


def test_gradients_below_the_norm_are_left_alone(tmp_path):
    plain = pretrain(tmp_path / "plain")
    clipped = pretrain(tmp_path / "clipped", max_grad_norm=1e6)
    assert torch.equal(weights(plain), weights(clipped))


def test_gradients_that_are_not_finite_stop_the_run_before_the_weights_change(tmp_path):
    model = tiny_model()
    model.out_head.weight.register_hook(lambda gradient: gradient * math.inf)
    before = weights(model)
    with pytest.raises(FloatingPointError, match=r"gradients' norm is .* at step 0"):
        pretrain(tmp_path, model, max_grad_norm=1.0)
    assert torch.equal(before, weights(model))


# Accumulation


def in_order(num_batches, batch_size):
    dataset = train_batches(num_batches=num_batches).dataset
    return DataLoader(dataset, batch_size=batch_size)


def test_accumulated_batches_make_the_step_of_one_large_batch(tmp_path):
    small = in_order(6, 2)
    large = in_order(6, 6)
    accumulated = pretrain(
        tmp_path / "small", train_loader=small, accumulation_steps=3, num_epochs=3
    )
    whole = pretrain(tmp_path / "large", train_loader=large, num_epochs=3)
    torch.testing.assert_close(weights(accumulated), weights(whole))


def test_the_last_step_of_an_epoch_takes_the_batches_that_are_left(tmp_path):
    run = quiet_run(tmp_path, accumulation_steps=3, num_epochs=2)
    steps = [record for record in run.steps() if hasattr(record, "loss")]
    assert [record.batch for record in steps] == [2, 5, 6, 2, 5, 6]
    assert [record.tokens_seen for record in steps] == [48, 96, 112, 160, 208, 224]
    assert run.steps_per_epoch == 3


def test_a_ragged_batch_weighs_what_it_holds(tmp_path):
    ragged = in_order(5, 4)  # 4, 4 and 2 windows
    accumulated = pretrain(
        tmp_path / "a", train_loader=ragged, accumulation_steps=3, num_epochs=2
    )
    whole = pretrain(tmp_path / "b", train_loader=in_order(5, 10), num_epochs=2)
    torch.testing.assert_close(weights(accumulated), weights(whole))


def test_the_reported_loss_is_the_mean_over_all_tokens_of_the_step(tmp_path):
    small = quiet_run(tmp_path / "a", train_loader=in_order(5, 4), accumulation_steps=3)
    large = quiet_run(tmp_path / "b", train_loader=in_order(5, 10))
    assert next(small.steps()).loss == pytest.approx(next(large.steps()).loss, rel=1e-6)


def test_the_announced_number_of_checkpoints_counts_optimizer_steps(tmp_path, capsys):
    pretrain(tmp_path, accumulation_steps=3, save_freq=1)
    assert "This run writes 4 checkpoints" in capsys.readouterr().out
    assert len(list(tmp_path.glob("model_*.pth"))) == 4


def test_an_explorer_places_accumulated_steps_in_their_epoch(tmp_path):
    pretrain(tmp_path, accumulation_steps=3, eval_freq=1)
    curve = LossExplorer({"folder": tmp_path}).curves[0]
    assert curve.steps_per_epoch == 3


def test_a_loader_shorter_than_its_length_is_refused(tmp_path):
    class Lying(DataLoader):
        def __len__(self):
            return 9

    loader = Lying(train_batches().dataset, batch_size=2)
    with pytest.raises(ValueError, match="a length of 9 batches and ended after 7"):
        pretrain(tmp_path, train_loader=loader, accumulation_steps=2)


# Weight-decay groups


def test_matrices_are_decayed_and_vectors_are_not():
    model = tiny_model(qkv_bias=True)
    decayed, kept = weight_decay_groups(model, 0.1)
    assert [decayed["weight_decay"], kept["weight_decay"]] == [0.1, 0.0]
    assert {p.dim() for p in decayed["params"]} == {2}
    assert {p.dim() for p in kept["params"]} == {1}
    together = [*decayed["params"], *kept["params"]]
    assert {id(p) for p in together} == {id(p) for p in model.parameters()}


def test_a_layer_norm_keeps_its_scale_without_gradients():
    model = tiny_model()
    optimizer = torch.optim.AdamW(weight_decay_groups(model, 0.5), lr=0.1)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    before = model.out_head.weight.norm().item()
    optimizer.step()
    assert torch.equal(model.final_norm.scale, torch.ones(16))
    assert model.out_head.weight.norm().item() == pytest.approx(0.95 * before)


# bfloat16


def test_autocast_computes_the_loss_in_bfloat16_and_keeps_float32_weights(tmp_path):
    model, kinds = tiny_model(), set()
    model.out_head.register_forward_hook(
        lambda module, _, output: kinds.add((module.training, output.dtype))
    )
    pretrain(tmp_path, model, autocast=True)
    assert kinds == {(True, torch.bfloat16), (False, torch.float32)}
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_autocast_learns_what_float32_learns(tmp_path):
    results = [
        pretrain_model(
            **run_settings(tmp_path / str(cast), num_epochs=20, autocast=cast)
        )
        for cast in (False, True)
    ]
    plain, cast = (result.train_losses[-1] for result in results)
    assert cast == pytest.approx(plain, rel=0.02)


# Off by default, exact when on


def test_all_habits_are_off_by_default(tmp_path):
    run = quiet_run(tmp_path)
    assert (run.schedule, run.max_grad_norm) == (None, None)
    assert (run.accumulation_steps, run.autocast) == (1, False)


@pytest.mark.parametrize("habits", HABITS.values(), ids=HABITS)
@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_a_run_with_habits_continues_bit_identically(tmp_path, habits, stop_after):
    settings = dict(habits, num_epochs=3, save_freq=1000)
    whole = quiet_run(tmp_path / "whole", tiny_model(dropout=0.1), **settings)
    torch.manual_seed(7)
    for _ in whole.steps():
        pass
    parts = quiet_run(tmp_path / "parts", tiny_model(dropout=0.1), **settings)
    torch.manual_seed(7)
    for record in parts.steps():
        if record.global_step + 1 >= stop_after:
            parts.stop_requested = True
    torch.manual_seed(99)
    rest = quiet_run(
        tmp_path / "parts", tiny_model(seed=3, dropout=0.1), **settings,
        checkpoint="latest",
    )  # fmt: skip
    for _ in rest.steps():
        pass
    assert torch.equal(weights(whole.model), weights(rest.model))
    assert whole.log == rest.log
    assert same(whole.optimizer.state_dict(), rest.optimizer.state_dict())


def test_clipping_on_another_norm_continues_with_a_warning(tmp_path, capsys):
    pretrain(tmp_path)
    pretrain(tmp_path, num_epochs=2, max_grad_norm=1.0, checkpoint="latest")
    printed = capsys.readouterr().out
    assert "max_grad_norm = None, now it is 1.0: the run continues, but" in printed


def test_another_accumulation_does_not_continue_a_run(tmp_path):
    pretrain(tmp_path)
    with pytest.raises(CheckpointError, match="accumulation_steps = None there and 2"):
        pretrain(tmp_path, num_epochs=2, accumulation_steps=2, checkpoint="latest")


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        (dict(accumulation_steps=0), "accumulation_steps=0 must be a whole number"),
        (dict(max_grad_norm=0), "max_grad_norm=0 must be above 0"),
        (dict(max_grad_norm=math.nan), "max_grad_norm=nan must be above 0"),
        (dict(schedule=0.1), r"schedule=0\.1 must be a function"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(tmp_path, setting, sentence):
    with pytest.raises(ValueError, match=sentence):
        quiet_run(tmp_path, **setting)
