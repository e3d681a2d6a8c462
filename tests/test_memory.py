"""Keeping freed memory: fewer page faults, the same numbers."""

import platform
import subprocess
import sys

import pytest

from llm_helpers.memory import keep_freed_memory

on_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's"
)

PROGRAM = """
import resource
import torch
from llm_helpers import set_up

set_up(num_threads=1, keep_memory={keep})
total = 0.0
for _ in range(20):
    total += torch.rand(10_000_000).sum().item()  # 40 MB, freed at once
print(total, resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def result_and_page_faults(keep):
    command = [sys.executable, "-c", PROGRAM.format(keep=keep)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    total, faults = printed.stdout.split()
    return total, int(faults)


@on_glibc
def test_kept_memory_is_not_fetched_again_and_changes_no_number():
    kept_total, kept_faults = result_and_page_faults(True)
    total, faults = result_and_page_faults(False)
    assert kept_total == total
    assert faults - kept_faults > 10 * 40_000_000 / 4096


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert keep_freed_memory() is False


RESIDENT = """
import torch
from llm_helpers.memory import keep_freed_memory

def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

keep_freed_memory()
before = resident_mb()
torch.ones(50_000_000)  # 200 MB, freed at once
kept = resident_mb() - before
keep_freed_memory(False)
handed_back = resident_mb() - before
torch.ones(50_000_000)
print(kept, handed_back, resident_mb() - before)
"""


@on_glibc
def test_memory_is_handed_back_when_asked():
    command = [sys.executable, "-c", RESIDENT]
    printed = subprocess.run(command, capture_output=True, text=True, check=True)
    kept, handed_back, afterwards = map(float, printed.stdout.split())
    assert kept > 150
    assert handed_back < 50
    assert afterwards < 50
