"""How nbgrader grades: `teaching/grade.py` puts this file into the course it makes."""

import os
import shutil
import subprocess

import bleach
from jupyter_client.manager import AsyncKernelManager
from nbconvert.filters import markdown2html
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    Execute,
    IgnorePattern,
    LimitOutput,
    NbGraderPreprocessor,
    SaveAutoGrades,
)
from traitlets import Integer


class GradingKernelManager(AsyncKernelManager):
    """Lets the kernel read its connection file when root's kernel runs as nobody."""

    def write_connection_file(self, **kwargs):
        super().write_connection_file(**kwargs)
        if os.name == "posix" and not os.geteuid():
            shutil.chown(self.connection_file, 65534)


class GradingExecute(Execute):
    """nbgrader's Execute, with a limit on what a notebook prints.

    nbgrader cuts outputs only when all have arrived. Dropping the rest here could drop
    the error of a check, so the run ends, and the sandbox with it.
    """

    max_output_mb = Integer(10, help="Of one notebook.").tag(config=True)

    def __init__(self, *args, **kwargs):
        kwargs["kernel_manager_class"] = GradingKernelManager
        super().__init__(*args, **kwargs)
        self.output_bytes = 0

    def start_new_kernel(self, **kwargs):
        """Give the kernel no file of ours to write to, as nbgrader's log would be."""
        nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        super().start_new_kernel(**nowhere, **kwargs)

    def process_message(self, msg, cell, cell_index):
        self.output_bytes += len(str(msg["content"]))
        self.output_bytes += sum(len(part) for part in msg.get("buffers", []))
        if self.output_bytes > self.max_output_mb * 1e6:
            self.log.error("PrintedTooMuch")
            os._exit(1)
        return super().process_message(msg, cell, cell_index)


MARKDOWN_TAGS = (  # no img: it would tell its server who opens the page
    "br del div h1 h2 h3 h4 h5 h6 hr p pre span sub sup table tbody td th thead tr"
)


class NoOutputMetadata(NbGraderPreprocessor):
    """Drops what a student says about an output, such as an image's width.

    nbconvert's pages hold it without quotes, so it could add `onerror=...`.
    """

    def preprocess_cell(self, cell, resources, cell_index):
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = {}
        return cell, resources


def markdown_without_scripts(source: str) -> str:
    """nbgrader's pages do not sanitize Markdown cells, whatever sanitize_html says."""
    return bleach.clean(
        markdown2html(source),
        tags=bleach.ALLOWED_TAGS | set(MARKDOWN_TAGS.split()),
        attributes=bleach.ALLOWED_ATTRIBUTES | {"*": ["class", "id"]},
    )


c = get_config()  # noqa: F821  (nbgrader defines it)
c.Execute.kernel_name = "grading"
c.Execute.shutdown_kernel = "immediate"
c.Autograde.autograde_preprocessors = [
    GradingExecute,
    IgnorePattern,
    LimitOutput,
    NoOutputMetadata,
    SaveAutoGrades,
    AssignLatePenalties,
    CheckCellMetadata,
]
# A check that fails raises. A warning on stderr, which nbgrader takes for a failure,
# costs no points.
c.IgnorePattern.enabled = True
c.IgnorePattern.pattern = r"[\s\S]"
# A page of feedback is opened by the teacher: no scripts of a student's in it.
c.HTMLExporter.sanitize_html = True
c.HTMLExporter.filters = {"markdown2html": markdown_without_scripts}
