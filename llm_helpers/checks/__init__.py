"""Checks of the exercises: they say what is wrong.

A module is named like its lesson and holds its checks, or gathers them from modules
beside it.

A check takes the reader's function, tries it on small inputs and either prints that it
passes or raises `CheckError` with one sentence that names the mistake. Checks draw
random numbers from fixed seeds, leave PyTorch's own generator as it was, and need no
file but those of the course.
"""

from llm_helpers.checks.verdict import CheckError

__all__ = ["CheckError"]
