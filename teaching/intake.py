"""Take in what students hand in: find it, and keep of it what grading may trust.

A submission is written by a stranger. Its cells count; its metadata does not: that
could name another kernel, skip a check, or change the points.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

MAX_FILE_MB = 10
NAME = re.compile(r"\w[\w .()-]*")  # what nbgrader and a table can take; any script


class NotGradedError(Exception):
    """A submission that nbgrader does not get to see; its text is the remark."""


@dataclass(frozen=True)
class Submission:
    student: str
    lesson: str
    path: Path | None  # None: missing


def find_submissions(folder: Path) -> list[Submission]:
    """`STUDENT/LESSON.ipynb` and `STUDENT__LESSON.ipynb`, and what is missing.

    A lesson is missing where another student has handed it in.
    """
    if not folder.is_dir():
        raise SystemExit(f"There is no folder {folder}; name the one that holds them.")
    found = {(p.parent.name, p.stem): p for p in folder.glob("*/*.ipynb")}
    for path in folder.glob("*__*.ipynb"):
        found.setdefault(tuple(path.stem.split("__", 1)), path)
    found = {name: path for name, path in found.items() if not is_left_over(name)}
    if not found:
        raise SystemExit(
            f"There is no submission in {folder}; put them there as "
            "STUDENT/LESSON.ipynb, one folder for each student."
        )
    students = {student for student, _lesson in found}
    folders = {p.name for p in folder.iterdir() if p.is_dir()}
    students |= {name for name in folders if not is_left_over((name, ""))}
    lessons = {lesson for _student, lesson in found}
    every = sorted((student, lesson) for student in students for lesson in lessons)
    return [Submission(*one, found.get(one)) for one in every]


def is_left_over(name: tuple[str, str]) -> bool:
    """What Jupyter and macOS leave beside the files: no student's work."""
    return name[0] == "__MACOSX" or any(part.startswith(".") for part in name)


def without_misnamed(submissions: list[Submission], known: set[str]) -> list:
    """Drop 'missing' for lessons that do not exist: somebody's file is misnamed."""
    return [s for s in submissions if s.path or s.lesson in known]


def require_gradable(submission: Submission, lessons: set[str]) -> None:
    if submission.path is None:
        raise NotGradedError("missing")
    if not NAME.fullmatch(submission.student):
        raise NotGradedError(
            "not graded: rename the folder; letters, digits, spaces and . ( ) - _ "
            "can stand in a name"
        )
    if submission.lesson not in lessons:
        raise NotGradedError(
            f"unknown notebook: the lessons are {', '.join(sorted(lessons))}"
        )


def read_notebook(path: Path) -> NotebookNode:
    """The notebook at a path, or a NotGradedError that says why there is none."""
    if path.is_symlink() or not path.is_file():
        raise NotGradedError("not a notebook: a link or a folder")
    size = path.stat().st_size
    if not size:
        raise NotGradedError("not a notebook: the file is empty")
    if size > MAX_FILE_MB * 1e6:
        raise NotGradedError(f"not a notebook: larger than {MAX_FILE_MB} MB")
    try:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # nbformat raises a dozen kinds on a stranger's file
        raise NotGradedError(f"not a notebook: {reason(error)}") from error
    return notebook


def reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "the file is not UTF-8 text"
    if isinstance(error, nbformat.reader.NotJSONError):
        return "the file is not valid JSON"
    return "the JSON in the file is not that of a notebook"


def trusted(notebook: NotebookNode, source: NotebookNode) -> NotebookNode:
    """The cells of a submission, with the metadata that the source gives them.

    Of a cell that is there twice the last counts; nbgrader cannot grade both.
    """
    unused = graded_cells(source)
    cells = []
    for cell in reversed(notebook.cells):
        kept = {k: v for k, v in cell.items() if k not in ("metadata", "attachments")}
        kept["metadata"] = {}
        if origin := unused.pop(grade_id_of(cell), None):
            kept["metadata"]["nbgrader"] = origin.metadata.nbgrader
        cells.append(kept)
    return nbformat.v4.new_notebook(
        cells=nbformat.from_dict(cells[::-1]), metadata=source.metadata
    )


def grade_id_of(cell: NotebookNode) -> str | None:
    mark = cell.metadata.get("nbgrader")
    grade_id = mark.get("grade_id") if isinstance(mark, dict) else None
    return grade_id if isinstance(grade_id, str) else None


def graded_cells(source: NotebookNode) -> dict[str, NotebookNode]:
    cells = {grade_id_of(cell): cell for cell in source.cells}
    return {grade_id: cell for grade_id, cell in cells.items() if grade_id}


def remarks_on_cells(notebook: NotebookNode, source: NotebookNode) -> list[str]:
    """What a teacher should know: exercise cells that are gone, or there twice."""
    counts = Counter(map(grade_id_of, notebook.cells))
    known = graded_cells(source)
    remarks = []
    if gone := [name for name in known if not counts[name]]:
        remarks.append(f"cells are missing: {', '.join(gone)}")
    if twice := [name for name in known if counts[name] > 1]:
        remarks.append(f"cells are there twice, the last counts: {', '.join(twice)}")
    return remarks
