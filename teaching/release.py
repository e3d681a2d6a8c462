"""Write the hand-out for students, without the answers: `make release`.

The folder and the zip hold the files that git tracks, less what only a teacher needs.
The zip has fixed times and a fixed order: the same course gives the same bytes.
"""

import argparse
import shutil
import subprocess
import zipfile
from pathlib import Path

from exercises import PROJECT_DIR, source_notebooks, write_exercises

NAME = "pretraining-course"
TEACHERS_ONLY = (
    "notebooks/TEACHING.md",
    "notebooks/solutions/",
    "tests/",
    "teaching/",
    ".ci/",
    ".github/workflows/",
)
EXERCISES = "notebooks/exercises/"  # those with a source; a solved copy may lie there
NEEDED = {".ci/constraints.txt"}  # requirements.txt names it
MARK = b"### BEGIN SOLUTION"


def released_files() -> list[str]:
    """What students get, as paths relative to the repository, sorted."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT_DIR, capture_output=True, check=False
    )
    if listed.returncode:
        raise SystemExit(
            f"git lists no files in {PROJECT_DIR}; make the release in a clone."
        )
    tracked = {name for name in listed.stdout.decode("utf-8").split("\0") if name}
    kept = {name for name in tracked if name in NEEDED or not for_teachers(name)}
    kept = {name for name in kept if not name.startswith(EXERCISES)}
    kept |= {f"{EXERCISES}{path.name}" for path in source_notebooks()}
    return sorted(name for name in kept if (PROJECT_DIR / name).is_file())


def for_teachers(name: str) -> bool:
    return name.startswith(TEACHERS_ONLY)


def write_folder(folder: Path, names: list[str]) -> None:
    for name in names:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PROJECT_DIR / name, target)


def require_no_answers(names: list[str]) -> None:
    """The last look before the hand-out leaves the house."""
    for name in names:
        hidden = for_teachers(name) and name not in NEEDED
        if hidden or holds_answer(PROJECT_DIR / name):
            raise SystemExit(
                f"{name} would give answers away, so no release was written; "
                f"look for '{MARK.decode()}' in it."
            )


def holds_answer(path: Path) -> bool:
    """Whether a notebook or a program has a marked answer; prose may name the mark."""
    return path.suffix in (".ipynb", ".py") and MARK in path.read_bytes()


def write_zip(path: Path, folder: Path, names: list[str]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo(f"{NAME}/{name}", date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16  # a plain file, readable by all
            entry.create_system = 3  # the same byte on Windows
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, (folder / name).read_bytes())


def make_room(folder: Path, archive: Path) -> None:
    """Remove the last release, and nothing that is not one."""
    if folder.exists() and not archive.exists():
        raise SystemExit(
            f"{folder} exists and is no release; name another folder with --out."
        )
    archive.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def release(out: Path) -> Path:
    """Write `out/pretraining-course` and the zip of it; return the zip."""
    write_exercises()
    folder, archive = out / NAME, out / f"{NAME}.zip"
    names = released_files()
    require_no_answers(names)
    make_room(folder, archive)
    write_folder(folder, names)
    write_zip(archive, folder, names)
    return archive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--out", type=Path, default=PROJECT_DIR / "release", help="default: release/"
    )
    archive = release(parser.parse_args().out)
    size_mb = archive.stat().st_size / 1e6
    print(f"{archive} ({size_mb:.1f} MB) and the folder beside it hold no answers.")


if __name__ == "__main__":
    main()
