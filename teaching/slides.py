"""Slides of the lessons, to project in class: `make slides`.

Each lesson becomes one HTML file that a browser shows without a network. What is on
which slide stands in the lesson's cell metadata, as JupyterLab writes it (its property
inspector has the field "Slide Type"): slide starts one, - continues it, fragment waits
for a key press, notes is for the speaker, skip is left out. Two tags show half of a
code cell: slide-output-only and slide-code-only.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from pathlib import Path

import nbformat
from latex2mathml.converter import convert
from nbconvert import SlidesExporter
from nbconvert.preprocessors import Preprocessor
from traitlets.config import Config

HERE = Path(__file__).resolve().parent
LESSONS_DIR = HERE.parent / "notebooks"
SLIDES_DIR = HERE.parent / "slides"
# Code comes first, so that a dollar sign in it is code and opens no formula.
CODE_OR_FORMULA = re.compile(
    r"(?<!`)(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`)"
    r"|(?<!\\)\$\$(?P<display>.+?)\$\$"
    r"|(?<![\\$])\$(?P<inline>[^$]+)(?<!\\)\$",
    re.DOTALL,
)


class FormulasToMathML(Preprocessor):
    """Formulas as MathML: browsers draw it themselves, MathJax would be fetched."""

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type == "markdown":
            cell.source = CODE_OR_FORMULA.sub(_mathml, cell.source)
        return cell, resources


def _mathml(match: re.Match) -> str:
    if match["display"]:
        formula = convert(match["display"].strip(), display="block")
        return f'\n\n<div class="formula">{formula}</div>\n\n'
    return convert(match["inline"]) if match["inline"] else match[0]


def slides_exporter() -> SlidesExporter:
    """nbconvert's exporter with the course's template, formulas and tags."""
    config = Config()
    config.CSSHTMLHeaderPreprocessor.style = "default"
    config.TagRemovePreprocessor.enabled = True
    config.TagRemovePreprocessor.remove_input_tags = {"slide-output-only"}
    config.TagRemovePreprocessor.remove_all_outputs_tags = {"slide-code-only"}
    exporter = SlidesExporter(
        config=config,
        template_name="slides_template",
        extra_template_basedirs=[str(HERE)],
        extra_template_paths=[str(HERE / "reveal")],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    exporter.register_preprocessor(FormulasToMathML, enabled=True)
    exporter.log.setLevel(logging.ERROR)  # it warns of every figure without a caption
    return exporter


def slides_html(notebook: nbformat.NotebookNode) -> str:
    """The slides of a notebook as one page, titled as the notebook's heading."""
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    heading = re.search(r"^# (.+)$", text, re.MULTILINE)
    titled = notebook.metadata | {"title": heading[1] if heading else "Slides"}
    html, _ = slides_exporter().from_notebook_node(
        nbformat.from_dict(notebook | {"metadata": titled})
    )
    return html


def count_slides(html: str) -> int:
    """How many slides a page has; in reveal.js each is a section in a section."""
    return html.count("<section") // 2


def lesson_paths() -> list[Path]:
    return sorted(LESSONS_DIR.glob("0*.ipynb"))


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK")
    parser.add_argument("--out", type=Path, default=SLIDES_DIR, metavar="FOLDER")
    chosen = parser.parse_args(arguments)
    for path in chosen.notebooks:
        if not path.is_file():
            parser.error(f"{path} is not a file; name a notebook, or none for all")
    chosen.out.mkdir(parents=True, exist_ok=True)
    for path in chosen.notebooks or lesson_paths():
        html = slides_html(nbformat.read(path, as_version=4))
        page = chosen.out / f"{path.stem}.html"
        page.write_text(html, encoding="utf-8")
        print(f"{page}: {count_slides(html)} slides", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
