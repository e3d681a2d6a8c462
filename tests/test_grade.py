"""Grading: the table to the letter, and nothing of a student's gets out or stays."""

import csv
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import nbformat
import psutil
import pytest
import submissions as made
from bs4 import BeautifulSoup

pytest.importorskip("nbgrader")

PROJECT_DIR = Path(__file__).resolve().parent.parent
SOLUTIONS_DIR = PROJECT_DIR / "notebooks" / "solutions"
GRADE = PROJECT_DIR / "teaching" / "grade.py"
LESSONS = sorted(path.stem for path in SOLUTIONS_DIR.glob("[0-9]*.ipynb"))
LESSONS_GRADED = LESSONS if os.environ.get("GRADE_EVERY_LESSON") else LESSONS[:1]
SECRET = "a-key-of-the-teacher"


def grade(folder: Path, out: Path, *options: str, **kwargs):
    return subprocess.run(
        [sys.executable, str(GRADE), str(folder), f"--out={out}", *options],
        capture_output=True,
        encoding="utf-8",
        **kwargs,
    )


def table(out: Path) -> list[list[str]]:
    with (out / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))[1:]


def hand_in(folder: Path, student: str, notebook: nbformat.NotebookNode) -> None:
    (folder / student).mkdir(parents=True)
    nbformat.write(notebook, folder / student / f"{made.LESSON}.ipynb")


def hand_in_bytes(folder: Path, student: str, content: bytes, lesson=made.LESSON):
    (folder / student).mkdir(parents=True)
    (folder / student / f"{lesson}.ipynb").write_bytes(content)


@pytest.fixture(scope="module")
def starts_sandbox():
    sys.path.insert(0, str(GRADE.parent))
    import sandbox

    with tempfile.TemporaryDirectory(prefix="grade-") as folder:
        why = sandbox.why_no_sandbox(Path(folder))
    if why:
        pytest.skip(f"no sandbox: {why}")


@pytest.fixture(scope="module")
def solutions(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("solutions")
    nbformat.write(made.source_notebook(), folder / f"{made.LESSON}.ipynb")
    return folder


@pytest.fixture(scope="module")
def handout(solutions, tmp_path_factory) -> Path:
    sys.path.insert(0, str(GRADE.parent))
    import exercises

    folder = tmp_path_factory.mktemp("exercises")
    exercises.write_exercises(folder, solutions)
    return folder / f"{made.LESSON}.ipynb"


@pytest.fixture(scope="module")
def spied(tmp_path_factory):
    """A place where a spy would leave traces: a server, markers, a process's name."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.1)
    name = f"left-behind-{uuid.uuid4().hex}"
    folder = tmp_path_factory.mktemp("spied")
    markers = [folder / "escaped", Path(tempfile.gettempdir()) / name]
    yield server, markers, name
    server.close()


def spy(spied, solutions: Path, out: Path) -> dict[str, str]:
    server, markers, name = spied
    folders = [solutions.parent, out.parent, PROJECT_DIR]
    return made.spying(folders, server.getsockname()[1], markers, name)


def connected(server: socket.socket) -> bool:
    try:
        server.accept()[0].close()
    except TimeoutError:
        return False
    return True


def left_behind(name: str) -> list[psutil.Process]:
    processes = psutil.process_iter(["cmdline"])
    return [p for p in processes if name in (p.info["cmdline"] or [])]


@pytest.fixture(scope="module")
def graded(starts_sandbox, solutions, handout, spied, tmp_path_factory):
    """One class, graded once, with small limits: (folder of grades, printed text)."""
    folder = tmp_path_factory.mktemp("submissions")
    out = tmp_path_factory.mktemp("graded") / "grades"
    answers = {
        "right": made.RIGHT,
        "syntax error": made.SYNTAX_ERROR,
        "endless loop": made.ENDLESS,
        "patient loop": made.PATIENT_LOOP,
        "flood": made.FLOOD,
        "huge": made.HUGE,
        "deadly": made.DEADLY,
        "too many points": made.TOO_MANY_POINTS,
        "spy": spy(spied, solutions, out),
        "untouched": {},
        "王 小明": made.SCRIPT,
    }
    for student, given in answers.items():
        hand_in(folder, student, made.answered(handout, given))
    hand_in(folder, "cheat", made.cheating(handout))
    hand_in(folder, "deleted", made.without_a_check(handout))
    hand_in_bytes(folder, "empty", b"")
    hand_in_bytes(folder, "broken", b'{"cells": [')
    hand_in_bytes(folder, "other name", b"{}", lesson="exercise (1)")
    half_right = made.answered(handout, made.HALF_RIGHT)
    nbformat.write(half_right, folder / f"half right__{made.LESSON}.ipynb")
    printed = grade(
        folder,
        out,
        f"--solutions={solutions}",
        "--cell-seconds=5",
        "--notebook-seconds=60",
        env=os.environ | {"SECRET": SECRET},
    )
    assert printed.returncode == 0, printed.stderr
    return out, printed.stdout


EXPECTED = """
broken | 0 | 0 | not a notebook: the file is not valid JSON
cheat | 0 | 0 | graded
deadly | 0 | 0 | stopped: the kernel died, perhaps at its memory limit
deleted | 3 | 4 | graded; cells are missing: check_double; \
cells are there twice, the last counts: triple
empty | 0 | 0 | not a notebook: the file is empty
endless loop | 0 | 0 | stopped after 5 s: a cell did not end
flood | 0 | 0 | stopped: it printed more than 10 MB
half right | 2 | 4 | graded
huge | 2 | 4 | graded; a cell met the memory limit
other name | 0 | 0 | missing
patient loop | 2 | 4 | graded; a cell was stopped after 5 s
right | 5 | 4 | graded
spy | 5 | 4 | graded
syntax error | 3 | 4 | graded
too many points | 0 | 0 | not graded: a check gave more points than it has
untouched | 0 | 0 | graded
王 小明 | 5 | 4 | graded
"""


def test_the_table_is_right_to_the_letter(graded):
    rows = [line.split(" | ") for line in EXPECTED.strip().split("\n")]
    expected = [[name, made.LESSON, s, "9", hand, r] for name, s, hand, r in rows]
    odd = "unknown notebook: the lessons are 02_small"
    expected.append(["other name", "exercise (1)", "0", "0", "0", odd])
    assert table(graded[0]) == sorted(expected)


def test_the_table_is_printed_and_every_submission_on_the_way(graded):
    assert "half right" in graded[1].split("remark\n")[1]
    assert "18/18 王 小明, 02_small: graded" in graded[1]


def test_graded_students_and_no_others_get_a_page_of_feedback(graded):
    pages = graded[0].glob(f"feedback/*/{made.LESSON}.html")
    students = {row[0] for row in table(graded[0]) if row[5].startswith("graded")}
    assert {page.parent.name for page in pages} == students


def test_a_page_of_feedback_runs_no_script_of_a_student(graded):
    """Not from an output, not from an answer in words, not from a picture's size."""
    path = graded[0] / "feedback" / "王 小明" / f"{made.LESSON}.html"
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    assert "A sum." in page.get_text()
    assert not [tag for tag in page.find_all("script") if "steal" in tag.text]
    assert not [
        tag for tag in page.find_all() for name in tag.attrs if name[:2] == "on"
    ]
    assert not [tag for tag in page.find_all("img") if "http" in tag.get("src", "")]


def spy_findings(out: Path) -> dict:
    lesson = f"{made.LESSON}/{made.LESSON}.ipynb"
    return made.findings(out / "course" / "autograded" / "spy" / lesson)


def test_a_submission_finds_no_answer_and_nothing_of_the_teacher(graded):
    found = spy_findings(graded[0])
    assert found["answers"] == []
    assert found["folders"] == []
    assert SECRET not in "".join(found["environment"])


def test_a_submission_reaches_no_network(graded, spied):
    assert not spy_findings(graded[0])["connected"]
    assert not connected(spied[0])


def test_a_submission_writes_no_file_outside(graded, spied):
    assert not [marker for marker in spied[1] if marker.exists()]


def test_no_process_of_a_submission_survives(graded, spied):
    assert left_behind(spied[2]) == []


@pytest.mark.parametrize("options", [(), ("--without-sandbox",)])
def test_the_time_of_a_notebook_ends_it_with_all_that_it_started(
    options, starts_sandbox, solutions, handout, tmp_path
):
    name = f"company-{uuid.uuid4().hex}"
    answers = made.endless_with_company(name)
    hand_in(tmp_path / "submissions", "somebody", made.answered(handout, answers))
    limits = ("--cell-seconds=60", "--notebook-seconds=10", f"--solutions={solutions}")
    grade(tmp_path / "submissions", tmp_path / "grades", *limits, *options, check=True)
    [row] = table(tmp_path / "grades")
    assert row[5] == "stopped after 10 s: a cell did not end"
    assert left_behind(name) == []


def test_without_a_sandbox_the_same_spy_finds_and_reaches_everything(
    solutions, handout, spied, tmp_path
):
    """So the tests above can fail."""
    server, markers, name = spied
    folder, out = tmp_path / "submissions", tmp_path / "out" / "grades"
    answers = made.spying([out], server.getsockname()[1], markers[:1], name)
    hand_in(folder, "spy", made.answered(handout, answers))
    grade(folder, out, f"--solutions={solutions}", "--without-sandbox", check=True)
    found = spy_findings(out)
    assert found["answers"]
    assert found["written"] == [str(markers[0])]
    assert found["connected"]
    assert connected(server)
    markers[0].unlink()
    for process in left_behind(name):
        process.kill()


@pytest.mark.parametrize("lesson", LESSONS_GRADED)
def test_the_answers_of_a_lesson_get_every_point(starts_sandbox, lesson, tmp_path):
    folder = tmp_path / "submissions" / "teacher"
    folder.mkdir(parents=True)
    shutil.copy(SOLUTIONS_DIR / f"{lesson}.ipynb", folder)
    grade(folder.parent, tmp_path / "grades", check=True)
    [[_student, _lesson, score, max_score, by_hand, remark]] = table(
        tmp_path / "grades"
    )
    assert remark == "graded"
    assert float(score) + float(by_hand) == float(max_score)


def test_where_no_sandbox_starts_the_command_says_so_and_stops(tmp_path):
    hand_in_bytes(tmp_path / "submissions", "somebody", b"")
    bare = {"PATH": str(tmp_path)}
    result = grade(tmp_path / "submissions", tmp_path / "grades", env=bare)
    assert result.returncode == 1
    assert "There is no sandbox" in result.stderr
    assert "--without-sandbox" in result.stderr
    assert not (tmp_path / "grades").exists()


def test_a_folder_that_is_missing_or_empty_is_named(tmp_path):
    missing = grade(tmp_path / "nowhere", tmp_path / "grades")
    assert f"There is no folder {tmp_path / 'nowhere'}" in missing.stderr
    empty = grade(tmp_path, tmp_path / "grades")
    assert f"There is no submission in {tmp_path}" in empty.stderr
    assert "SUBMISSIONS=folder" in grade("", tmp_path / "grades").stderr


def test_earlier_grades_are_kept(solutions, tmp_path):
    hand_in_bytes(tmp_path / "submissions", "somebody", b"")
    options = (f"--solutions={solutions}", "--without-sandbox")
    for _again in range(2):
        result = grade(tmp_path / "submissions", tmp_path / "grades", *options)
    assert "The earlier grades are kept in" in result.stdout
    assert table(tmp_path / "grades-superseded-1") == table(tmp_path / "grades")


def test_a_folder_that_holds_no_grades_is_left_alone(tmp_path):
    hand_in_bytes(tmp_path / "submissions", "somebody", b"")
    (tmp_path / "docs").mkdir()
    result = grade(tmp_path / "submissions", tmp_path / "docs", "--without-sandbox")
    assert f"{tmp_path / 'docs'} holds no grades of this command" in result.stderr
    assert (tmp_path / "docs").is_dir()


def test_grades_are_not_written_among_the_submissions(tmp_path):
    hand_in_bytes(tmp_path / "submissions", "somebody", b"")
    out = tmp_path / "submissions" / "grades"
    result = grade(tmp_path / "submissions", out, "--without-sandbox")
    assert "lie in each other; name another --out" in result.stderr


def test_a_name_is_no_formula_in_a_spreadsheet(solutions, tmp_path):
    hand_in_bytes(tmp_path / "submissions", "=cmd()", b"")
    options = (f"--solutions={solutions}", "--without-sandbox")
    grade(tmp_path / "submissions", tmp_path / "grades", *options, check=True)
    assert [row[0] for row in table(tmp_path / "grades")] == ["'=cmd()"]


@pytest.mark.parametrize(
    "content",
    [
        b'{"cells": [{"cell_type": "weird", "id": "a", "metadata": {}, "source": ""}], '
        b'"metadata": {}, "nbformat": 4, "nbformat_minor": 999}',
        b'{"cells": [{"cell_type": "markdown", "id": "a", "metadata": {}, '
        b'"source": "\\ud800"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    ],
)
def test_an_odd_notebook_does_not_end_the_others_grading(content, solutions, tmp_path):
    hand_in_bytes(tmp_path / "submissions", "a stranger", content)
    hand_in_bytes(tmp_path / "submissions", "somebody", b"")
    options = (f"--solutions={solutions}", "--without-sandbox")
    grade(tmp_path / "submissions", tmp_path / "grades", *options, check=True)
    odd, other = (row[5] for row in table(tmp_path / "grades"))
    assert odd.startswith("not a notebook: ")
    assert other == "not a notebook: the file is empty"
