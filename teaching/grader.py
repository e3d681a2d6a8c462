"""Grade one submission with nbgrader, in a course that knows the exercises."""

import os
import shutil
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path

import nbformat
from intake import (
    NotGradedError,
    Submission,
    graded_cells,
    read_notebook,
    reason,
    remarks_on_cells,
    require_gradable,
    trusted,
)
from nbgrader.api import Gradebook
from sandbox import (
    PYTHON,
    Limits,
    make_sockets_folder,
    run_limited,
    sandboxed,
    scratch_folder,
    write_kernelspec,
)

KERNEL = [PYTHON, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
FAILURES = {  # what stands in nbgrader's log, and what the teacher reads
    "CellTimeoutError": "stopped after {cell_s} s: a cell did not end",
    "DeadKernelError": "stopped: the kernel died, perhaps at its memory limit",
    "PrintedTooMuch": "stopped: it printed more than {output_mb} MB",
    "partial credit": "not graded: a check gave more points than it has",
}
TROUBLES = {  # what stands in a cell's error, and what the teacher reads
    "CellTimeoutError": "a cell was stopped after {cell_s} s",
    "MemoryError": "a cell met the memory limit",
    "can't allocate memory": "a cell met the memory limit",
}


@dataclass
class Grade:
    """A line of the table. Points to be given by hand are not in the score yet."""

    student: str
    lesson: str
    score: float = 0.0
    max_score: float = 0.0
    to_grade_by_hand: float = 0.0
    remark: str = ""

    def words(self) -> list[str]:
        values = asdict(self).values()
        return [v if isinstance(v, str) else f"{v:g}" for v in values]


@dataclass(frozen=True)
class Grader:
    """One course of nbgrader's, and the way in which its kernels are run."""

    course: Path
    limits: Limits
    sandbox: bool

    @property
    def url(self) -> str:
        return f"sqlite:///{self.course / 'gradebook.db'}"

    def source(self, lesson: str) -> nbformat.NotebookNode:
        path = self.course / "release" / lesson / f"{lesson}.ipynb"
        return nbformat.read(path, as_version=4)

    def lessons(self) -> set[str]:
        return {path.name for path in (self.course / "release").iterdir()}

    def grade(self, submission: Submission) -> Grade:
        """Grade one submission; what goes wrong with it becomes its remark."""
        lessons = self.lessons()
        grade = Grade(submission.student, submission.lesson)
        if submission.lesson in lessons:
            with Gradebook(self.url) as gradebook:
                notebook = gradebook.find_notebook(*[submission.lesson] * 2)
                grade.max_score = notebook.max_score
        try:
            require_gradable(submission, lessons)
            remarks = self.take_in(submission)
            self.run_nbgrader("autograde", submission.lesson, submission.student)
        except NotGradedError as error:
            grade.remark = str(error)
            shutil.rmtree(self.notebook_in("autograded", submission).parent, True)
            return grade
        notebook = nbformat.read(self.notebook_in("autograded", submission), 4)
        self.read_points(grade, notebook)
        grade.remark = "; ".join(["graded", *remarks, *self.troubles(notebook)])
        return grade

    def take_in(self, submission: Submission) -> list[str]:
        """Put a submission into the course; remarks on its cells."""
        source = self.source(submission.lesson)
        notebook = read_notebook(submission.path)
        path = self.notebook_in("submitted", submission)
        path.parent.mkdir(parents=True)
        try:
            nbformat.write(trusted(notebook, source), path)
        except Exception as error:  # such as half a character, or a cell of no kind
            raise NotGradedError(f"not a notebook: {reason(error)}") from error
        return remarks_on_cells(notebook, source)

    def notebook_in(self, step: str, submission: Submission) -> Path:
        lesson = submission.lesson
        return self.course / step / submission.student / lesson / f"{lesson}.ipynb"

    def run_nbgrader(self, step: str, lesson: str, student: str) -> None:
        """Run one of nbgrader's commands on one notebook, in a process of its own."""
        log = self.course / "logs" / f"{student} {lesson}.log"
        log.parent.mkdir(exist_ok=True)
        with scratch_folder() as folder, log.open("wb") as output:
            sockets = make_sockets_folder(folder)
            kernel = sandboxed(KERNEL, sockets, self.limits) if self.sandbox else KERNEL
            write_kernelspec(folder, kernel)
            ended = run_limited(
                self.command(step, lesson, student, sockets),
                self.limits,
                sockets=sockets,
                cwd=self.course,
                env=clean_environment(folder),
                stdout=output,
                stderr=output,
            )
        if ended != 0:
            raise NotGradedError(self.why(ended, log))

    def command(self, step: str, lesson: str, student: str, sockets: Path) -> list[str]:
        ipc = ["transport=ipc", f"ip={sockets}/kernel"] if self.sandbox else []
        connection = [f"connection_file={sockets}/kernel.json", *ipc]
        return [
            *(PYTHON, "-m", "nbgrader", step, lesson, f"--student={student}"),
            f"--Execute.timeout={self.limits.cell_s}",
            f"--GradingExecute.max_output_mb={self.limits.output_mb}",
            *(f"--KernelManager.{setting}" for setting in connection),
        ]

    def why(self, ended: int | str, log: Path) -> str:
        """Why nbgrader did not come to its end, in words."""
        if isinstance(ended, str):
            return ended
        text = log.read_text(encoding="utf-8", errors="replace")
        for sign, remark in FAILURES.items():
            if sign in text:
                return remark.format(**asdict(self.limits))
        return f"not graded: nbgrader failed, see logs/{log.name}"

    def read_points(self, grade: Grade, notebook: nbformat.NotebookNode) -> None:
        """The points that nbgrader gave, and those of answers that are still to read.

        nbgrader also asks to grade by hand what is not in the submission at all.
        """
        names = (grade.lesson, grade.lesson, grade.student)
        present = graded_cells(notebook)
        with Gradebook(self.url) as gradebook:
            found = gradebook.find_submission_notebook(*names)
            grade.score = found.score
            grade.to_grade_by_hand = sum(
                g.max_score
                for g in found.grades
                if g.needs_manual_grade and g.name in present
            )

    def troubles(self, notebook: nbformat.NotebookNode) -> list[str]:
        """Limits that single cells met, while the rest was graded."""
        errors = [
            f"{output.ename}: {output.evalue}"
            for cell in notebook.cells
            for output in cell.get("outputs", [])
            if output.output_type == "error"
        ]
        found = {r for s, r in TROUBLES.items() for text in errors if s in text}
        return [remark.format(**asdict(self.limits)) for remark in sorted(found)]

    def write_feedback(self, lesson: str, student: str, folder: Path) -> None:
        """The page that nbgrader makes of one graded submission, in its own time."""
        self.run_nbgrader("generate_feedback", lesson, student)
        page = self.course / "feedback" / student / lesson / f"{lesson}.html"
        target = folder / student / page.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(page, target)


def clean_environment(folder: Path) -> dict[str, str]:
    """What nbgrader needs of the environment: no keys, and no settings of the user."""
    kept = {k: os.environ[k] for k in ("SYSTEMROOT", "TEMP", "TMP") if k in os.environ}
    scripts = sysconfig.get_path("scripts")
    return kept | {
        "PATH": scripts + os.pathsep + os.environ.get("PATH", ""),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_PATH": str(folder),
        "JUPYTER_RUNTIME_DIR": str(folder / "run"),
    }
