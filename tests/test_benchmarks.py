"""The contenders of the speed benchmarks: they do the same work, counted rightly."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from llm_helpers import GPTConfig, GPTModel, calc_loss_batch

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
from contenders import STEPS, training_flops
from plain_gpt import PlainGPT

TINY = GPTConfig(
    embedding_dim=32,
    num_layers=2,
    num_heads=4,
    context_len=16,
    vocabulary_size=61,
    dropout=0.0,
)


def batch(seed=3):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(TINY.vocabulary_size, (2, 17), generator=generator)
    return ids[:, :-1], ids[:, 1:]


def test_the_plain_model_computes_what_the_courses_model_computes():
    ours, plain = GPTModel.from_config(TINY), PlainGPT(TINY)
    for target, source in zip(plain.parameters(), ours.parameters(), strict=True):
        target.data.copy_(source.data)
    one, other = (calc_loss_batch(*batch(), model, "cpu") for model in (ours, plain))
    torch.testing.assert_close(one, other)


def test_the_operations_of_a_step_are_those_that_pytorch_counts():
    model = PlainGPT(TINY)
    with FlopCounterMode(display=False) as counter:
        calc_loss_batch(*batch(), model, "cpu").backward()
    assert counter.get_total_flops() == training_flops(TINY, batch_size=2)


@pytest.mark.parametrize("name", STEPS)
def test_every_contender_learns(name):
    for package in ("transformers", "llms_from_scratch"):
        if name.startswith(package.replace("_", "-")):
            pytest.importorskip(package, reason="`make benchmarks` installs it")
    torch.manual_seed(1)
    model, step = STEPS[name](replace(TINY, dropout=0.1), "cpu")
    losses = [step(*batch()) for _ in range(40)]
    assert model.training
    assert losses[-1] < losses[0] - 0.3
