"""JupyterLab and Chromium for the tests here; without a browser they are skipped."""

import nbformat
import pytest
from lab import CHROMIUM, FLAGS, Lab, jupyterlab


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed, so no chart can be seen")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed, so nothing clicks"
    )
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What JupyterLab serves; notebooks are written here."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.fixture(scope="module")
def address(browser, folder, tmp_path_factory):
    """Of a JupyterLab; the browser is asked for first, because it may be missing."""
    with jupyterlab(folder, tmp_path_factory.mktemp("settings")) as url:
        yield url


@pytest.fixture(scope="module")
def open_notebook(browser, address, folder):
    """Writes a notebook into the folder and opens it; returns its `Lab`."""

    def open_it(name, notebook):
        nbformat.write(notebook, folder / name)
        lab = Lab(browser, address)
        lab.open(name)
        return lab

    return open_it


@pytest.fixture(scope="module")
def open_cells(open_notebook):
    """Opens a new notebook of some code cells; returns its `Lab`."""

    def open_them(name, sources):
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        notebook = nbformat.v4.new_notebook(cells=cells)
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        return open_notebook(name, notebook)

    return open_them
