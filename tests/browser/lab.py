"""A real JupyterLab in a real browser: what the browser tests drive."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",  # containers run as root
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
TOKEN = "browser-test"
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


@contextmanager
def jupyterlab(root: Path, settings: Path, theme: str = "light"):
    """Serve a folder in JupyterLab; yields its address."""
    _write_settings(settings, theme)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [f"--port={port}", "--ip=127.0.0.1", f"--IdentityProvider.token={TOKEN}"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += ["--LabApp.news_url=None", "--LabApp.expose_app_in_browser=True"]
    environment = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(settings / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(settings / "config"),
    }
    log = open(settings / "lab.log", "w", encoding="utf-8")  # noqa: SIM115
    process = subprocess.Popen(
        command, cwd=root, env=environment, stdout=log, stderr=subprocess.STDOUT
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_it_answers(f"{address}/api?token={TOKEN}", process, log.name)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


def _write_settings(settings: Path, theme: str) -> None:
    themes = {"theme": THEMES[theme], "adaptive-theme": False}
    whole_notebook = {"windowingMode": "none"}  # every cell is in the page
    no_news = {"fetchNews": "false", "checkForUpdates": False}
    for name, values in (
        ("apputils-extension/themes", themes),
        ("apputils-extension/notification", no_news),
        ("notebook-extension/tracker", whole_notebook),
    ):
        path = settings / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")


def _wait_until_it_answers(url: str, process, log: str, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.3)
    raise RuntimeError("JupyterLab did not start:\n" + Path(log).read_text("utf-8"))


class Lab:
    """One notebook open in a page, and what the page did that it should not."""

    def __init__(self, browser, address: str):
        self.page = browser.new_page(viewport={"width": 1250, "height": 1000})
        self.address = address
        self.foreign_requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", self._note_request)
        self.page.on("pageerror", lambda e: self.errors.append(e.stack or e.message))
        self.page.on("console", self._note_console)

    def _note_request(self, request) -> None:
        parts = urlsplit(request.url)
        over_network = parts.scheme in ("http", "https", "ws", "wss")
        if over_network and parts.hostname not in ("127.0.0.1", "localhost"):
            self.foreign_requests.append(request.url)

    def _note_console(self, message) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def open(self, notebook: str) -> None:
        self.page.goto(f"{self.address}/lab/tree/{notebook}?token={TOKEN}&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
        self.page.wait_for_function(
            """() => {
                const context = window.jupyterapp.shell.currentWidget?.sessionContext;
                const idle = context?.session?.kernel?.status === "idle";
                return idle && context.isReady && !context.hasNoKernel;
            }""",
            timeout=90_000,
        )

    def cell(self, index: int):
        """The notebook's cell of that index, markdown cells counted."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def start_cell(self, index: int) -> None:
        """Run one cell; does not wait for its end."""
        self.page.evaluate(
            """index => {
                const app = window.jupyterapp;
                app.shell.currentWidget.content.activeCellIndex = index;
                app.commands.execute("notebook:run-cell");
            }""",
            index,
        )

    def run_cell(self, index: int, seconds: float = 120) -> str:
        """Run one cell to its end; what it printed."""
        self.start_cell(index)
        self.wait_for_cell(index, seconds)
        outputs = self.cell(index).locator(".jp-OutputArea-output")
        return "\n".join(outputs.all_inner_texts())

    def interrupt(self) -> None:
        """What the notebook's own stop button does."""
        self.command("notebook:interrupt-kernel")

    def choose_theme(self, name: str) -> None:
        """The page in "light" or "dark"."""
        self.command("apputils:change-theme", {"theme": THEMES[name]})
        self.page.wait_for_function(
            """light => document.body.dataset.jpThemeLight === light
                // a change while this fades out is an error of JupyterLab's
                && document.querySelector("#jupyterlab-splash") === null""",
            arg=str(name == "light").lower(),
        )

    def command(self, name: str, arguments: dict | None = None) -> None:
        """Execute one of JupyterLab's commands, as its menus do, to its end."""
        self.page.evaluate(
            """async ([name, args]) => {
                await window.jupyterapp.commands.execute(name, args);
            }""",
            [name, arguments or {}],
        )

    def wait_for_cell(self, index: int, seconds: float = 120) -> None:
        """Until the cell shows an execution number, as it does when it has ended."""
        number = self.cell(index).locator(".jp-InputArea-prompt")
        end = time.monotonic() + seconds
        while not any(c.isdigit() for c in number.inner_text()):
            assert time.monotonic() < end, f"cell {index} is still running"
            self.page.wait_for_timeout(100)
