"""The one call with which a lesson begins."""

import random

import torch

from llm_helpers.memory import keep_freed_memory


def set_up(seed: int = 123, num_threads: int = 2, keep_memory: bool = True) -> None:
    """Make a lesson repeatable and quick: seeds, print precision, threads, memory.

    Sums are split over threads, so their last digits depend on the number of threads.
    With `keep_memory`, memory that a step frees stays with the process for the next
    (Linux; see `llm_helpers.memory`): faster, with the same numbers.
    """
    random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(num_threads)
    torch.set_printoptions(precision=4, sci_mode=False, linewidth=88)
    if keep_memory:
        keep_freed_memory()
