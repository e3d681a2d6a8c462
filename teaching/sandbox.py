"""Run a student's kernel where it can read the course, and reach nothing else.

nbgrader runs outside. Only the kernel runs in bubblewrap: without network, with its own
processes, on a file system that holds Python and the course read-only, and small
folders in memory to write to. Kernel and nbgrader talk through sockets in one folder.
`run_limited` ends both from outside, whatever the student's code does.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

PROJECT_DIR = Path(__file__).resolve().parent.parent
PYTHON = os.path.abspath(sys.executable)  # not resolved: it marks the venv
NOBODY = 65534
MB = 2**20


@dataclass(frozen=True, kw_only=True)
class Limits:
    cell_s: int = 120  # for one cell
    notebook_s: int = 600  # for one notebook, from start to end
    memory_mb: int = 4096  # for all processes of one notebook
    file_mb: int = 256  # for one file, and for all that is written to /tmp
    output_mb: int = 10  # for all that the cells of one notebook print
    processes: int = 1024  # threads count


def python_folders() -> list[str]:
    """Where this Python and its packages lie: the prefixes of the venv and its base."""
    real = Path(PYTHON).resolve().parent.parent
    folders = {Path(sys.prefix), Path(sys.base_prefix), real, Path("/usr")}
    for folder in folders:
        if PROJECT_DIR.is_relative_to(folder):
            raise SystemExit(
                f"Python's folder {folder} contains this course, and the sandbox would "
                "show its answers; use a virtual environment inside the course: .venv."
            )
    return sorted(map(str, folders))


def system_options() -> list[str]:
    """The system's programs and libraries, and of /etc what libraries look up."""
    options = ["--perms", "0755", "--dir", "/etc"]
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
        if os.path.islink(name):
            options += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            options += ["--ro-bind", name, name]
    for name in ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "fonts", "localtime"):
        options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    return options


def parent_options(paths: list[str]) -> list[str]:
    """Folders on the way to the paths; bwrap itself would make them for root only."""
    parents = {parent for path in paths for parent in Path(path).parents[:-1]}
    parents -= {Path("/tmp"), Path("/usr")}
    folders = map(str, sorted(parents))
    return [word for f in folders for word in ("--perms", "0755", "--dir", f)]


def file_options(sockets: Path, limits: Limits) -> list[str]:
    """What the kernel sees: read-only but for /tmp, /dev/shm, notebooks, sockets."""
    notebooks = PROJECT_DIR / "notebooks"
    in_memory = ["--perms", "1777", "--size", str(limits.file_mb * MB), "--tmpfs"]
    read_only = [*python_folders()]
    read_only += [str(PROJECT_DIR / name) for name in ("llm_helpers", "data")]
    return [
        *("--proc", "/proc", "--dev", "/dev"),
        *(*in_memory, "/dev/shm", "--remount-ro", "/dev"),
        *(*in_memory, "/tmp"),
        *system_options(),
        *parent_options([*read_only, str(sockets)]),
        *(word for path in read_only for word in ("--ro-bind", path, path)),
        *(*in_memory, str(notebooks)),
        *("--perms", "1777", "--dir", str(notebooks / "runs")),
        *("--perms", "1777", "--dir", str(notebooks / "exercises")),
        *("--bind", str(sockets), str(sockets), "--remount-ro", "/"),
        *("--chdir", str(notebooks / "exercises")),
    ]


def environment_options() -> list[str]:
    path = f"{Path(PYTHON).parent}:/usr/bin:/bin"
    variables = {
        "PATH": path,
        "HOME": "/tmp",
        "USER": "student",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    pairs = (("--setenv", name, value) for name, value in variables.items())
    return ["--clearenv", *(word for pair in pairs for word in pair)]


def unprivileged() -> tuple[list[str], list[str]]:
    """Options for bwrap and a command after it, which leave the kernel no rights.

    Root becomes nobody inside; anybody else gets a user namespace, and none in it.
    """
    if os.geteuid():
        return ["--unshare-user", "--disable-userns"], []
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return [], [*drop, "--inh-caps=-all", "--bounding-set=-all"]


def sandboxed(command: list[str], sockets: Path, limits: Limits) -> list[str]:
    """The command, run in the sandbox; `sockets` is all it shares with the outside."""
    options, drop = unprivileged()
    apart = ["ipc", "pid", "net", "uts", "cgroup-try"]
    cpu_s = limits.notebook_s * (os.cpu_count() or 1)
    return [
        *("bwrap", "--die-with-parent", "--new-session", "--hostname", "sandbox"),
        *(f"--unshare-{name}" for name in apart),
        *options,
        *environment_options(),
        *file_options(sockets, limits),
        *("--", *drop, "prlimit", "--core=0", f"--cpu={cpu_s}"),
        *(f"--data={limits.memory_mb * MB}", f"--fsize={limits.file_mb * MB}"),
        *(f"--nproc={limits.processes}", "--", *command),
    ]


@contextmanager
def scratch_folder():
    """A temporary folder, removed whatever a student put into it."""
    folder = tempfile.mkdtemp(prefix="grade-")
    try:
        yield Path(folder)
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        except RecursionError:  # folders in folders, a thousand deep
            subprocess.run(["rm", "-rf", "--", folder], check=False)


def make_sockets_folder(folder: Path) -> Path:
    """The one folder that both sides write to, for the kernel's sockets."""
    sockets = folder / "run"
    sockets.mkdir(mode=0o700)
    if os.name == "posix" and not os.geteuid():
        os.chown(sockets, NOBODY, NOBODY)
    return sockets


def why_no_sandbox(folder: Path) -> str | None:
    """Start the sandbox once, in an empty folder; the reason if it does not start."""
    if sys.platform != "linux":
        return f"bubblewrap does not exist for {sys.platform}"
    for program in ("bwrap", "setpriv", "prlimit"):
        if not shutil.which(program):
            return f"the program {program} is not installed"
    test = [PYTHON, "-c", "import ipykernel, llm_helpers"]
    sockets = make_sockets_folder(folder)
    tried = subprocess.run(
        sandboxed(test, sockets, Limits()), capture_output=True, check=False
    )
    last_line = tried.stderr.decode(errors="replace").strip().split("\n")[-1]
    return f"it does not start here ({last_line})" if tried.returncode else None


def write_kernelspec(folder: Path, kernel: list[str]) -> None:
    """The only kernel that nbgrader is told to use, whatever a notebook asks for.

    Interrupts come as messages: a signal would end bwrap, and the kernel with it.
    """
    spec = {"argv": kernel, "display_name": "Grading", "language": "python"}
    target = folder / "kernels" / "grading"
    target.mkdir(parents=True)
    text = json.dumps(spec | {"interrupt_mode": "message"})
    (target / "kernel.json").write_text(text, encoding="utf-8")


def run_limited(command: list[str], limits: Limits, **options) -> int | str:
    """Run a command; its return code, or in words the limit at which it was ended.

    `options` are those of Popen, and `sockets`, a folder whose size is watched.
    Afterwards neither the command nor a process that it started is left.
    """
    sockets = options.pop("sockets")
    deadline = time.monotonic() + limits.notebook_s
    before = hidden_memory(), disk_used(sockets)
    process = psutil.Popen(command, start_new_session=True, **options)
    try:
        while True:
            reason = limit_met(process, limits, sockets, deadline, before)
            if reason:
                return reason
            try:
                return process.wait(timeout=0.2)
            except psutil.TimeoutExpired:
                continue
    finally:
        end(process)


def limit_met(
    process: psutil.Popen,
    limits: Limits,
    sockets: Path,
    deadline: float,
    before: tuple[int, int],
) -> str | None:
    if time.monotonic() > deadline:
        return f"stopped after {limits.notebook_s} s: a cell did not end"
    memory = memory_of(process) + max(0, hidden_memory() - before[0])
    if memory > (limits.memory_mb + 1024) * MB:  # nbgrader takes some too
        return f"stopped: memory limit of {limits.memory_mb} MB"
    if disk_used(sockets) - before[1] > 16 * limits.file_mb * MB:  # others write too
        return f"stopped: it wrote more than {limits.file_mb} MB"
    if holds_more_than_sockets(sockets):
        return "stopped: it wrote into the folder of the kernel's sockets"
    return None


def hidden_memory() -> int:
    """Bytes that no process shows as its own: memfd_create, shared memory, tmpfs."""
    return getattr(psutil.virtual_memory(), "shared", 0)


def disk_used(folder: Path) -> int:
    """Of the whole disk: a file that was removed while open is in no folder."""
    return shutil.disk_usage(folder).used


def holds_more_than_sockets(sockets: Path) -> bool:
    """Five sockets and a small file belong there. Files may vanish while we look."""
    with os.scandir(sockets) as entries:
        for number, entry in enumerate(entries):
            try:
                size = entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
            if number > 50 or size > MB or entry.is_dir(follow_symlinks=False):
                return True
    return False


def family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def memory_of(process: psutil.Process) -> int:
    """Resident bytes of a process and of all that it started."""
    total = 0
    for member in family(process):
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def end(process: psutil.Popen) -> None:
    """Kill a process and all that it started; bwrap takes with it what is inside."""
    members = family(process)
    for member in members:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(members, timeout=10)
