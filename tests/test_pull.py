"""Students who edit and pull: nbgitpuller's pull of this repository's attributes.

As on a JupyterHub: what a student has changed stays, whole; the rest is brought up to
date; and nobody is ever asked to resolve a conflict.
"""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

GitPuller = pytest.importorskip("nbgitpuller.pull").GitPuller
ROOT = Path(__file__).resolve().parent.parent
EDITED, UNTOUCHED = "02_training_loop.ipynb", "01_cross_entropy_by_hand.ipynb"
GIT = ["git", "-c", "user.name=teacher", "-c", "user.email=teacher@localhost"]


def git(folder, *arguments):
    subprocess.run([*GIT, *arguments], cwd=folder, check=True, capture_output=True)


def commit_all(folder):
    git(folder, "add", "--all")
    git(folder, "commit", "--message", "a change")


def pull(upstream, clone):
    for _line in GitPuller(str(upstream), str(clone), branch="main").pull():
        pass


def write_answer(path, answer):
    """Put an answer into the first cell that asks for one."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cell = next(c for c in notebook["cells"] if "# YOUR CODE" in "".join(c["source"]))
    cell["source"] = [answer]
    cell["outputs"] = []
    path.write_text(json.dumps(notebook, indent=1), encoding="utf-8")


@pytest.fixture
def upstream(tmp_path):
    """A small repository of the course: two notebooks of exercises."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    git(folder, "init", "--initial-branch", "main")
    shutil.copy(ROOT / ".gitattributes", folder)
    for name in (EDITED, UNTOUCHED):
        shutil.copy(ROOT / "notebooks" / "exercises" / name, folder)
    commit_all(folder)
    return folder


@pytest.fixture
def clone(upstream, tmp_path):
    pull(upstream, tmp_path / "clone")
    return tmp_path / "clone"


def test_a_pull_keeps_a_students_notebook_where_the_teacher_changed_the_same_cell(
    upstream, clone
):
    write_answer(clone / EDITED, "the student's answer")
    mine = (clone / EDITED).read_bytes()
    write_answer(upstream / EDITED, "the teacher's new text")
    commit_all(upstream)
    pull(upstream, clone)
    assert (clone / EDITED).read_bytes() == mine


def test_a_pull_keeps_a_students_notebook_where_the_teacher_changed_another_cell(
    upstream, clone
):
    write_answer(clone / EDITED, "the student's answer")
    mine = (clone / EDITED).read_bytes()
    notebook = json.loads((upstream / EDITED).read_text(encoding="utf-8"))
    notebook["cells"][0]["source"] = ["# A new title\n"]
    (upstream / EDITED).write_text(json.dumps(notebook, indent=1), encoding="utf-8")
    commit_all(upstream)
    pull(upstream, clone)
    assert (clone / EDITED).read_bytes() == mine


def test_a_pull_brings_what_the_student_left_alone_up_to_date(upstream, clone):
    write_answer(clone / EDITED, "the student's answer")
    write_answer(upstream / UNTOUCHED, "the teacher's new text")
    commit_all(upstream)
    pull(upstream, clone)
    assert "the teacher's new text" in (clone / UNTOUCHED).read_text(encoding="utf-8")


def test_a_notebook_that_the_student_deleted_comes_back(upstream, clone):
    (clone / UNTOUCHED).unlink()
    pull(upstream, clone)
    assert (clone / UNTOUCHED).exists()
