"""The comparison of notebooks can fail: one changed digit turns each lesson red.

A lesson is cut after its first cells that print a number and run in seconds; one digit
of the last stored output is changed; nbval must report that cell, and only that one.
"""

import re
import subprocess
import sys

import nbformat
import pytest
from execute_notebooks import lesson_paths

DIGIT = re.compile(r"\d")
CELLS_RUN = 4  # code cells: enough to reach a printed number, few enough to be quick


def stored_text(cell):
    """(holder, key) of the first compared text with a digit in the cell's outputs."""
    if "nbval-ignore-output" in cell.metadata.get("tags", []):
        return None
    for output in cell.get("outputs", []):
        if output.output_type == "stream" and DIGIT.search(output.text):
            return output, "text"
        data = output.get("data", {})
        if DIGIT.search(data.get("text/plain", "")) and "image/png" not in data:
            return data, "text/plain"
    return None


def truncated_with_one_digit_changed(path):
    notebook = nbformat.read(path, as_version=4)
    code = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    last = max(i for i in code[:CELLS_RUN] if stored_text(notebook.cells[i]))
    notebook.cells = notebook.cells[: last + 1]
    holder, key = stored_text(notebook.cells[-1])
    holder[key] = DIGIT.sub(lambda d: str((int(d[0]) + 1) % 10), holder[key], count=1)
    return notebook, sum(cell.cell_type == "code" for cell in notebook.cells)


@pytest.mark.parametrize("path", lesson_paths(), ids=lambda p: p.stem)
def test_one_changed_digit_turns_the_lesson_red(path, tmp_path):
    notebook, num_cells = truncated_with_one_digit_changed(path)
    copy = tmp_path / path.name
    nbformat.write(notebook, copy)
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider"]
    result = subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(copy)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert result.returncode == 1, result.stdout + result.stderr
    passed = f", {num_cells - 1} passed" if num_cells > 1 else ""
    assert re.search(rf"1 failed{passed} in", result.stdout), result.stdout
