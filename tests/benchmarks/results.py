"""The one file of measured figures, from which README and lessons quote."""

import json
import os
import platform
import re
from pathlib import Path

import torch

RESULTS_PATH = Path(__file__).with_name("results.json")


def record(**figures) -> None:
    """Put figures into results.json; those of another machine or torch give way."""
    text = json.dumps(recorded() | figures, indent=2)
    RESULTS_PATH.write_text(text + "\n", encoding="utf-8")


def record_in(group: str, name: str, figures: dict | float) -> None:
    """Put figures beside others of their group."""
    record(**{group: recorded().get(group, {}) | {name: figures}})


def recorded() -> dict:
    """What was measured on this machine with this torch."""
    where = {"machine": machine(), "torch": torch.__version__.split("+")[0]}
    results = json.loads(RESULTS_PATH.read_text(encoding="utf-8"))
    return results if where.items() <= results.items() else where


def machine() -> str:
    return f"{_cpu_name()}, {os.cpu_count()} cores, {platform.system()}"


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text(encoding="utf-8"))
        if found:
            return found[1]
    return platform.processor() or platform.machine()
