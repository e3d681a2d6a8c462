"""How nbgrader grades: `teaching/grade.py` puts this file into the course it makes."""

import os
import shutil
import subprocess

from jupyter_client.manager import AsyncKernelManager
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    Execute,
    IgnorePattern,
    LimitOutput,
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


c = get_config()  # noqa: F821  (nbgrader defines it)
c.Execute.kernel_name = "grading"
c.Execute.shutdown_kernel = "immediate"
c.Autograde.autograde_preprocessors = [
    GradingExecute,
    IgnorePattern,
    LimitOutput,
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
