"""Grade a folder of submissions with nbgrader: `make grade SUBMISSIONS=folder`.

Writes `grades.csv`, pages of feedback, and the nbgrader course in which answers in
words can be graded by hand. Students' code runs in a sandbox (see `sandbox.py`).
"""

import argparse
import csv
import shutil
import signal
import sys
import tempfile
import time
import unicodedata
from dataclasses import fields
from pathlib import Path

from exercises import PROJECT_DIR, SOLUTIONS_DIR, make_course
from grader import Grade, Grader
from intake import NotGradedError, Submission, find_submissions, without_misnamed
from sandbox import Limits, why_no_sandbox


def make_grader(out: Path, solutions: Path, limits: Limits, sandbox: bool) -> Grader:
    """A fresh course in `out/course`, with a gradebook that knows every lesson."""
    course = out / "course"
    course.mkdir(parents=True)
    make_course(course, solutions)
    shutil.copyfile(
        PROJECT_DIR / "teaching" / "nbgrader_config.py", course / "nbgrader_config.py"
    )
    return Grader(course, limits, sandbox)


def set_aside(out: Path) -> None:
    """Keep earlier grades: a teacher may have graded answers by hand in them."""
    if not out.exists():
        return
    if not (out / "course").is_dir():
        raise SystemExit(
            f"{out} holds no grades of this command; name another folder with --out."
        )
    k = 1
    while (kept := out.with_name(f"{out.name}-superseded-{k}")).exists():
        k += 1
    out.rename(kept)
    print(f"The earlier grades are kept in {kept}.")


def write_table(path: Path, grades: list[Grade]) -> None:
    """The table so far, with the mark at the front by which Excel knows UTF-8."""
    form = {"encoding": "utf-8-sig", "errors": "replace", "newline": ""}
    with path.open("w", **form) as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Grade))
        writer.writerows(map(as_text, grade.words()) for grade in grades)


def as_text(word: str) -> str:
    """A word that a spreadsheet does not take for a formula."""
    return f"'{word}" if word[:1] in ("=", "+", "-", "@") else word


def print_table(grades: list[Grade]) -> None:
    rows = [[f.name for f in fields(Grade)], *(grade.words() for grade in grades)]
    widths = [max(map(columns_of, column)) for column in zip(*rows)]
    for row in rows:
        cells = (word + " " * (w - columns_of(word)) for word, w in zip(row, widths))
        print("  ".join(cells).rstrip())


def columns_of(word: str) -> int:
    """How wide a terminal prints a word: a Chinese character takes two columns."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in word)


def grade_all(grader: Grader, submissions: list[Submission], out: Path) -> list[Grade]:
    """Grade one after the other; the table on disk grows with each."""
    grades = []
    for number, submission in enumerate(submissions, 1):
        start = time.monotonic()
        grades.append(grade := grade_whatever_comes(grader, submission))
        write_table(out / "grades.csv", grades)
        took = f"{time.monotonic() - start:.0f} s"
        place = f"{number}/{len(submissions)} {grade.student}, {grade.lesson}"
        print(f"{place}: {grade.remark} ({took})", flush=True)
    return grades


def grade_whatever_comes(grader: Grader, submission: Submission) -> Grade:
    """One submission's trouble, of whatever kind, must not end the others' grading."""
    try:
        return grader.grade(submission)
    except Exception as error:
        remark = f"not graded: {type(error).__name__}, tell the course's authors"
        return Grade(submission.student, submission.lesson, remark=remark)


def write_all_feedback(grader: Grader, grades: list[Grade], folder: Path) -> None:
    for grade in grades:
        if not grade.remark.startswith("graded"):
            continue
        try:
            grader.write_feedback(grade.lesson, grade.student, folder)
        except NotGradedError as error:
            who = f"{grade.student}, {grade.lesson}"
            print(f"No feedback for {who}: {error}", file=sys.stderr)


def require_apart(submissions: Path, out: Path) -> None:
    """Grades beside the submissions, so that neither is taken for the other."""
    if submissions.is_relative_to(out) or out.is_relative_to(submissions):
        raise SystemExit(
            f"{submissions} and {out} lie in each other; name another --out."
        )


def end_children_when_told_to_end() -> None:
    """A closed terminal ends this command in order, and with it a student's code."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: sys.exit(1))


def require_sandbox() -> None:
    with tempfile.TemporaryDirectory(prefix="grade-") as folder:
        why = why_no_sandbox(Path(folder))
    if why:
        raise SystemExit(
            f"There is no sandbox: {why}; submissions would run with your own rights, "
            "so grade on Linux with bubblewrap, or accept that: --without-sandbox "
            "(make grade SANDBOX=no)."
        )


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("submissions", help="holds STUDENT/LESSON.ipynb")
    parser.add_argument("--out", type=Path, default=PROJECT_DIR / "grades")
    parser.add_argument("--solutions", type=Path, default=SOLUTIONS_DIR)
    parser.add_argument("--cell-seconds", type=int, default=Limits.cell_s)
    parser.add_argument("--notebook-seconds", type=int, default=Limits.notebook_s)
    parser.add_argument("--memory-mb", type=int, default=Limits.memory_mb)
    parser.add_argument("--without-sandbox", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    if not options.submissions:
        raise SystemExit(
            "No folder of submissions is named; make grade SUBMISSIONS=folder."
        )
    sys.stdout.reconfigure(errors="replace")  # names that a console cannot show
    end_children_when_told_to_end()
    submissions = find_submissions(Path(options.submissions))
    if not options.without_sandbox:
        require_sandbox()
    limits = Limits(
        cell_s=options.cell_seconds,
        notebook_s=options.notebook_seconds,
        memory_mb=options.memory_mb,
    )
    out = options.out.resolve()
    require_apart(Path(options.submissions).resolve(), out)
    set_aside(out)
    grader = make_grader(
        out, options.solutions, limits, sandbox=not options.without_sandbox
    )
    submissions = without_misnamed(submissions, grader.lessons())
    grades = grade_all(grader, submissions, out)
    write_all_feedback(grader, grades, out / "feedback")
    print_table(grades)
    print(f"The table is in {out / 'grades.csv'}, the feedback beside it.")


if __name__ == "__main__":
    main(sys.argv[1:])
