"""Make the students' notebooks from the sources with answers: `make exercises`.

`notebooks/exercises` is written by nbgrader's own generate_assignment and never edited
by hand: it takes the answers out, locks the checks, and keeps the rest. A notebook
that did not change is left byte-identical.
"""

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from traitlets.config import Config

PROJECT_DIR = Path(__file__).resolve().parent.parent
SOLUTIONS_DIR = PROJECT_DIR / "notebooks" / "solutions"
EXERCISES_DIR = PROJECT_DIR / "notebooks" / "exercises"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def source_notebooks(solutions: Path = SOLUTIONS_DIR) -> list[Path]:
    """The notebooks with answers, in the order of the lessons."""
    found = sorted(solutions.glob("[0-9]*.ipynb"))
    if not found:
        raise SystemExit(
            f"There is no notebook such as 02_name.ipynb in {solutions}; name the "
            "folder that holds the exercises with their answers."
        )
    return found


def make_course(folder: Path, solutions: Path = SOLUTIONS_DIR) -> None:
    """An nbgrader course: one assignment a lesson, and a gradebook that knows it.

    `folder/release/LESSON/LESSON.ipynb` are then the students' notebooks.
    """
    url = f"sqlite:///{folder / 'gradebook.db'}"
    create_gradebook(url)
    config = Config({"CourseDirectory": {"root": str(folder), "db_url": url}})
    api = NbGraderAPI(config=config)
    for source in source_notebooks(solutions):
        target = folder / "source" / source.stem / source.name
        target.parent.mkdir(parents=True)
        shutil.copyfile(source, target)
        result = api.generate_assignment(source.stem)
        if not result["success"]:
            raise SystemExit(f"nbgrader rejects {source}:\n{result.get('log', '')}")


def create_gradebook(url: str) -> None:
    """Create the database; nbgrader calls `alembic` by its bare name for that.

    So the scripts of this Python must be on the PATH, also when no environment is
    activated; without them the first call fails half-way, and only the next succeeds.
    """
    scripts = sysconfig.get_path("scripts")
    os.environ["PATH"] = scripts + os.pathsep + os.environ.get("PATH", "")
    Gradebook(url).close()


def write_exercises(
    folder: Path = EXERCISES_DIR, solutions: Path = SOLUTIONS_DIR
) -> dict[str, bool]:
    """Write the students' notebooks into a folder; say which of them changed."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = {}
    with tempfile.TemporaryDirectory(prefix="course-") as course:
        make_course(Path(course), solutions)
        for generated in sorted(Path(course).glob("release/*/*.ipynb")):
            text = clean_text(generated)
            target = folder / generated.name
            changed[target.name] = not same_text(target, text)
            if changed[target.name]:
                target.write_text(text, encoding="utf-8", newline="\n")
    return changed


def same_text(path: Path, text: str) -> bool:
    return path.is_file() and path.read_bytes() == text.encode("utf-8")


def clean_text(path: Path) -> str:
    """A notebook as JSON, without what differs by the machine it was written on."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    return nbformat.writes(notebook) + "\n"


def main() -> None:
    for name, changed in write_exercises().items():
        print(f"{name}: {'changed' if changed else 'unchanged'}")
    sources = {path.name for path in source_notebooks()}
    for path in sorted(EXERCISES_DIR.glob("*.ipynb")):
        if path.name not in sources:
            print(f"{path.name}: has no source; remove it", file=sys.stderr)


if __name__ == "__main__":
    main()
