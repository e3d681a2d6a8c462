"""The one call with which a lesson begins."""

import random

import torch


def set_up(seed: int = 123, num_threads: int = 2) -> None:
    """Make a lesson repeatable: seeds, print precision, number of CPU threads.

    Sums are split over threads, so their last digits depend on the number of threads.
    """
    random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(num_threads)
    torch.set_printoptions(precision=4, sci_mode=False, linewidth=88)
