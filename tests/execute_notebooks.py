"""Re-execute notebooks in fresh kernels and store clean outputs: `make notebooks`.

Without arguments every lesson in `notebooks/` and the solutions of its exercises,
otherwise those that are named. One whose outputs did not change stays byte-identical.
"""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

LESSONS_DIR = Path(__file__).resolve().parent.parent / "notebooks"
SOLUTIONS_DIR = LESSONS_DIR / "solutions"
EXERCISES_DIR = LESSONS_DIR / "exercises"  # made from the solutions, never executed
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def lesson_paths() -> list[Path]:
    return sorted(LESSONS_DIR.glob("[0-9]*.ipynb"))


def solution_paths() -> list[Path]:
    return sorted(SOLUTIONS_DIR.glob("[0-9]*.ipynb"))


def execute(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    run_cells(notebook, path.parent)
    clean(notebook)
    nbformat.write(notebook, path)


def run_cells(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Execute every cell in a fresh kernel whose working directory is `folder`."""
    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
    ).execute()


def clean(notebook: nbformat.NotebookNode) -> None:
    """Drop what differs by machine, and widget state, which GitHub cannot render."""
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)


def main(arguments: list[str]) -> None:
    for path in [Path(a) for a in arguments] or [*lesson_paths(), *solution_paths()]:
        start = time.monotonic()
        before = path.read_bytes()
        execute(path)
        state = "unchanged" if path.read_bytes() == before else "changed"
        print(f"{path.name}: {state}, {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
