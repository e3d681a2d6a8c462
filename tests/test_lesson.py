"""The call with which a lesson begins."""

import random

import pytest
import torch

from llm_helpers import set_up


@pytest.fixture(autouse=True)
def settings_restored():
    """`set_up` changes settings of the whole process; other tests need their own."""
    threads, state = torch.get_num_threads(), random.getstate()
    yield
    torch.set_num_threads(threads)
    torch.set_printoptions(profile="default")
    random.setstate(state)


def draws():
    return torch.rand(3).tolist(), random.random()


def test_after_set_up_the_same_random_numbers_come():
    set_up()
    first = draws()
    set_up()
    assert draws() == first


def test_the_default_seed_is_123():
    set_up()
    first = draws()
    set_up(seed=123)
    assert draws() == first


def test_another_seed_gives_other_numbers():
    set_up(seed=1)
    first = draws()
    set_up(seed=2)
    assert draws() != first


def test_lessons_use_two_threads():
    set_up()
    assert torch.get_num_threads() == 2


def test_the_number_of_threads_can_be_chosen():
    set_up(num_threads=1)
    assert torch.get_num_threads() == 1


def test_tensors_print_with_four_decimals():
    set_up()
    assert str(torch.tensor([1 / 3, 12345.0])) == "tensor([    0.3333, 12345.0000])"
