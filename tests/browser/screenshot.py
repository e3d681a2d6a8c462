"""The README's picture of the live chart: lesson 02 while it trains, in JupyterLab.

python tests/browser/screenshot.py
"""

import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from lab import CHROMIUM, FLAGS, Lab, jupyterlab
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent.parent
LESSON = ROOT / "notebooks" / "02_training_loop.ipynb"
EVALUATIONS_SHOWN = 6


def main() -> None:
    cells = nbformat.read(LESSON, as_version=4).cells
    code = [i for i, cell in enumerate(cells) if cell.cell_type == "code"]
    live = next(i for i in code if "LiveTraining(run)" in cells[i].source)
    loop = next(i for i in code if "my_val_losses" in cells[i].source)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        shutil.copy(LESSON, folder)
        settings = Path(folder) / "settings"
        with jupyterlab(Path(folder), settings) as address:
            lab = Lab(
                playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS),
                address,
            )
            lab.open(LESSON.name)
            for i in code:
                if (
                    i < live and i != loop
                ):  # the reader's own loop is not in the picture
                    lab.start_cell(i)
                    lab.wait_for_cell(i)
            lab.start_cell(live)
            chart = lab.cell(live).locator(".llm-chart")
            lab.page.wait_for_function(
                """count => {
                    const plot = document.querySelector(".js-plotly-plot");
                    return plot && plot.data[2].x && plot.data[2].x.length >= count;
                }""",
                arg=EVALUATIONS_SHOWN,
                timeout=600_000,
            )
            chart.screenshot(path=ROOT / ".github" / "live.png")


if __name__ == "__main__":
    sys.exit(main())
