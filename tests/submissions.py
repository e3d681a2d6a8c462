"""A small exercise in nbgrader's format, and what students might hand in for it."""

import json
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

LESSON = "02_small"
ANSWER = "the answer that nobody may see"
RIGHT = {
    "double": "def double(x):\n    return x + x",
    "triple": "def triple(x):\n    return x + x + x",
    "why": "Because twice is a sum of two.",
}
HALF_RIGHT = RIGHT | {"triple": "def triple(x):\n    return x"}
SYNTAX_ERROR = RIGHT | {"double": "def double(x:\n    return x + x"}
ENDLESS = RIGHT | {
    "double": "while True:\n    try:\n        while True:\n            pass\n"
    "    except BaseException:\n        pass"
}
PATIENT_LOOP = RIGHT | {"triple": "while True:\n    pass"}
FLOOD = RIGHT | {"double": "while True:\n    print('x' * 10_000)"}
HUGE = RIGHT | {"triple": "everything = bytearray(10**10)"}
DEADLY = RIGHT | {"triple": "import os\nos.kill(os.getpid(), 9)"}
TOO_MANY_POINTS = RIGHT | {
    "double": "transformers = get_ipython().input_transformers_post\n"
    "transformers.append(lambda lines: [*lines, '99\\n'])"
}
PICTURE = "display({'image/png': 'AAAA'}, metadata={'image/png': {'width': 'WIDTH'}}"
SCRIPT = RIGHT | {
    "triple": RIGHT["triple"] + "\nfrom IPython.display import HTML, display\n"
    "display(HTML('<script>steal()</script>'))\n"
    + PICTURE.replace("WIDTH", "1 onerror=steal()")
    + ", raw=True)",
    "why": "A sum.\n\n<script>steal()</script>\n\n<svg onload=steal()></svg>\n\n"
    "![](http://localhost/who-reads-this.png)",
}


def source_notebook() -> nbformat.NotebookNode:
    """The exercise with its answers: two functions, and a question in words."""
    return new_notebook(
        cells=[
            new_markdown_cell("# Small exercises", id="title"),
            solution("double", "x", "return 2 * x"),
            check("double", 2, "assert double(3) == 6"),
            solution("triple", "x", "return 3 * x"),
            check("triple", 3, "assert triple(3) == 9"),
            graded(new_markdown_cell(ANSWER, id="why"), "why", True, True, 4),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )


def solution(name: str, parameter: str, line: str) -> nbformat.NotebookNode:
    text = (
        f"def {name}({parameter}):\n    ### BEGIN SOLUTION\n"
        f"    {line}  # {ANSWER}\n    ### END SOLUTION"
    )
    return graded(new_code_cell(text, id=name), name, True, False)


def check(name: str, points: int, line: str) -> nbformat.NotebookNode:
    cell = new_code_cell(line, id=f"check-{name}")
    return graded(cell, f"check_{name}", False, True, points)


def graded(cell, grade_id: str, is_solution: bool, is_grade: bool, points: int = 0):
    cell.metadata.nbgrader = {
        "grade_id": grade_id,
        "solution": is_solution,
        "grade": is_grade,
        "locked": not is_solution,
        "task": False,
        "schema_version": 3,
    }
    if is_grade:
        cell.metadata.nbgrader.points = points
    return cell


def cell_of(notebook: nbformat.NotebookNode, grade_id: str) -> nbformat.NotebookNode:
    found = [
        cell
        for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id
    ]
    return found[0]


def answered(handout: Path, answers: dict[str, str]) -> nbformat.NotebookNode:
    """The student's notebook with these answers in it."""
    notebook = nbformat.read(handout, as_version=4)
    for grade_id, text in answers.items():
        cell_of(notebook, grade_id).source = text
    return notebook


def cheating(handout: Path) -> nbformat.NotebookNode:
    """No answers, but checks rewritten, skipped, worth more, in another kernel."""
    notebook = nbformat.read(handout, as_version=4)
    cell_of(notebook, "check_double").source = "pass"
    cell_of(notebook, "check_triple").metadata.tags = ["skip-execution"]
    cell_of(notebook, "check_triple").metadata.nbgrader.points = 100
    notebook.metadata.kernelspec = {"name": "another", "display_name": "Another"}
    return notebook


def without_a_check(handout: Path) -> nbformat.NotebookNode:
    """All right, but one check deleted and one answer there twice."""
    notebook = answered(handout, RIGHT)
    notebook.cells.remove(cell_of(notebook, "check_double"))
    twice = cell_of(notebook, "triple").copy()
    twice.id = "copy"
    notebook.cells.insert(1, twice)
    return notebook


def endless_with_company(name: str) -> dict[str, str]:
    """An endless loop, after a process of that name was started."""
    sleep = "import time; time.sleep(100)"
    start = f"subprocess.Popen([sys.executable, '-c', {sleep!r}, {name!r}])"
    loop = ENDLESS["double"]
    return RIGHT | {"double": f"import subprocess, sys\n{start}\n{loop}"}


def spying(folders: list[Path], port: int, markers: list[Path], name: str) -> dict:
    """Right answers, and on the way a search for answers and ways out.

    What it finds it prints as JSON; `name` is that of the process it leaves behind.
    """
    settings = {
        "folders": [str(f) for f in folders],
        "markers": [str(m) for m in markers],
        "port": port,
        "name": name,
        "answer": ANSWER[::-1],  # so that it does not find itself
    }
    return RIGHT | {"double": f"{RIGHT['double']}\ns = {settings!r}\n{SPY}"}


SPY = """
import json, os, socket, subprocess, sys
from pathlib import Path

found = {"answers": [], "folders": [], "environment": [], "written": [], "connected": 0}
for folder in s["folders"]:
    hidden = [Path(folder) / name for name in (".git", "tests", "teaching")]
    found["folders"] += [str(path) for path in hidden if path.exists()]
    for root, _folders, files in os.walk(folder):
        for path in (Path(root) / f for f in files if f.endswith((".ipynb", ".db"))):
            if s["answer"][::-1].encode() in path.read_bytes():
                found["answers"].append(str(path))
for process in Path("/proc").glob("[0-9]*"):
    try:
        found["environment"].append((process / "environ").read_text())
    except OSError:
        pass
for marker in s["markers"]:
    try:
        Path(marker).write_text("escaped")
        found["written"].append(marker)
    except OSError:
        pass
try:
    socket.create_connection(("127.0.0.1", s["port"]), timeout=2)
    found["connected"] = 1
except OSError:
    pass
sleep = "import time; time.sleep(100)"
subprocess.Popen([sys.executable, "-c", sleep, s["name"]], start_new_session=True)
print(json.dumps(found))
"""


def findings(autograded: Path) -> dict:
    """What the spy printed, from the notebook as it was executed."""
    notebook = nbformat.read(autograded, as_version=4)
    return json.loads(cell_of(notebook, "double").outputs[0].text)
