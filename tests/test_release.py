"""The hand-out holds what a student needs, and no answer."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("nbgrader")

PROJECT_DIR = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(PROJECT_DIR / "teaching"))

import exercises  # noqa: E402
import release  # noqa: E402

FOLDER = "pretraining-course"


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exercises")
    exercises.write_exercises(folder)
    return folder


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    return release.release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def names(archive) -> set[str]:
    with zipfile.ZipFile(archive) as file:
        return {name.removeprefix(f"{FOLDER}/") for name in file.namelist()}


def test_the_exercises_in_the_repository_are_those_of_their_sources(generated):
    made = {path.name: path.read_bytes() for path in generated.iterdir()}
    kept = exercises.EXERCISES_DIR.glob("*.ipynb")
    assert {path.name: path.read_bytes() for path in kept} == made


def test_generating_again_changes_nothing(generated):
    assert not any(exercises.write_exercises(generated).values())


def cells_by_id(path: Path) -> dict:
    return {cell.id: cell for cell in nbformat.read(path, as_version=4).cells}


def test_exercises_keep_every_cell_and_show_no_answer(generated):
    for source in exercises.source_notebooks():
        before, after = cells_by_id(source), cells_by_id(generated / source.name)
        assert list(before) == list(after)
        for cell_id, cell in before.items():
            answers = cell.metadata.get("nbgrader", {}).get("solution", False)
            assert (after[cell_id].source != cell.source) == answers


def test_no_notebook_and_no_program_of_the_release_holds_an_answer(archive):
    with zipfile.ZipFile(archive) as file:
        names = [n for n in file.namelist() if n.endswith((".ipynb", ".py"))]
        assert not [name for name in names if release.MARK in file.read(name)]


def test_the_release_holds_nothing_that_only_teachers_need(names):
    private = ("notebooks/solutions", "tests", "teaching", ".github/workflows")
    assert not [name for name in names if name.startswith(private)]
    assert {name for name in names if name.startswith(".ci")} == release.NEEDED


def test_the_release_holds_the_course_with_its_exercises_and_data(names):
    lessons = {p.name for p in (PROJECT_DIR / "notebooks").glob("[0-9]*.ipynb")}
    sources = {path.name for path in exercises.source_notebooks()}
    assert {f"notebooks/{name}" for name in lessons} <= names
    assert {f"notebooks/exercises/{name}" for name in sources} <= names
    needed = {"requirements.txt", "pyproject.toml", "data/tokenizer/gpt2.tiktoken"}
    assert needed <= names


def test_a_solved_copy_beside_the_exercises_is_not_released():
    copy = exercises.EXERCISES_DIR / "02_training_loop-Copy1.ipynb"
    copy.write_text("{}", encoding="utf-8")
    try:
        assert f"notebooks/exercises/{copy.name}" not in release.released_files()
    finally:
        copy.unlink()


def test_the_folder_holds_the_same_as_the_zip(archive, names):
    folder = archive.parent / FOLDER
    files = (path for path in folder.rglob("*") if path.is_file())
    assert {path.relative_to(folder).as_posix() for path in files} == names


def test_every_import_of_the_package_works_in_the_release(archive):
    """In a process that knows the package from the release's folder alone."""
    code = (
        "import llm_helpers, llm_helpers.pretrain; from pathlib import Path;"
        "print(Path(llm_helpers.__file__).parent.parent);"
        "print(llm_helpers.load_tokenizer('gpt2').n_vocab)"
    )
    folder = archive.parent / FOLDER
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert result.stdout.split("\n")[:2] == [str(folder), "50257"]


def test_the_same_course_gives_the_same_zip(archive):
    before = hashlib.sha256(archive.read_bytes()).digest()
    release.release(archive.parent)
    assert hashlib.sha256(archive.read_bytes()).digest() == before


def test_a_notebook_with_an_answer_stops_the_release():
    name = exercises.source_notebooks()[0].relative_to(PROJECT_DIR).as_posix()
    with pytest.raises(SystemExit, match=f"{name} would give answers away"):
        release.require_no_answers([name])


def test_a_folder_that_is_no_release_is_left_alone(tmp_path):
    (tmp_path / FOLDER).mkdir()
    with pytest.raises(SystemExit, match="is no release; name another folder"):
        release.release(tmp_path)
