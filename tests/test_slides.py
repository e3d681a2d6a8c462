"""Slides of the lessons: what is on them, and that they load nothing."""

import re

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

pytest.importorskip("latex2mathml", reason="see teaching/requirements.txt")
from slides import count_slides, lesson_paths, main, slides_html

KINDS = {"slide", "-", "fragment", "notes", "skip"}  # no subslides: one row


def marked(cell, kind=None, *tags):
    if kind is not None:
        cell.metadata["slideshow"] = {"slide_type": kind}
    cell.metadata["tags"] = list(tags)
    return cell


def code(source, printed, *tags):
    output = new_output("stream", name="stdout", text=printed)
    cell = new_code_cell(source, outputs=[output], execution_count=3)
    return marked(cell, "-", *tags)


FORMULAS = "A share $p_i$, a price in code `$5 or $6`.\n\n$$\\frac{a}{b}$$"
NOTEBOOK = new_notebook(
    cells=[
        marked(new_markdown_cell("# A small lesson"), "slide"),
        marked(new_markdown_cell("Say slowly: *welcome*."), "notes"),
        marked(new_markdown_cell("## Formulas\n\n" + FORMULAS), "slide"),
        marked(new_markdown_cell("An unmarked cell.")),
        marked(new_markdown_cell("Too much for a class."), "skip"),
        code("shown = 1", "it prints"),
        code("only_code = 1", "a hidden output", "slide-code-only"),
        code("hidden_code = 1", "only an output", "slide-output-only"),
    ]
)


@pytest.fixture(scope="module")
def html():
    return slides_html(NOTEBOOK)


@pytest.fixture(scope="module")
def page(html):
    return BeautifulSoup(html, "html.parser")


@pytest.fixture(scope="module")
def slides(page):
    return page.select("section > section")


def loaded(html):
    """What a page asks for by itself: scripts, pictures, style sheets, fonts."""
    page = BeautifulSoup(html, "html.parser")
    asked = [element["src"] for element in page.select("[src]")]
    asked += [element["href"] for element in page.select("link[href]")]
    css = "\n".join(style.string or "" for style in page.select("style"))
    css += "\n".join(element["style"] for element in page.select("[style]"))
    asked += re.findall(r"url\(\s*['\"]?([^'\")]*)", css)
    return asked + re.findall(r"@import\s+([^;]*)", css)


def by_lesson(test):
    return pytest.mark.parametrize("path", lesson_paths(), ids=lambda p: p.stem)(test)


def test_each_cell_marked_slide_starts_one(html, slides):
    assert count_slides(html) == len(slides) == 2


def test_a_cell_without_a_mark_continues_the_slide(slides):
    assert "An unmarked cell." in slides[1].text


def test_the_page_is_titled_as_the_lesson(page):
    assert page.title.string == "A small lesson"


def test_everything_that_is_loaded_stands_in_the_page(html):
    assert loaded(html)
    assert [url[:60] for url in loaded(html) if not url.startswith("data:")] == []


def test_a_style_sheet_from_elsewhere_would_be_noticed():
    assert loaded("<style>@import url(https://a.b/c.css);</style>")[0][:8] == "https://"


def test_formulas_become_mathml(slides):
    assert [m["display"] for m in slides[1].select("math")] == ["inline", "block"]


def test_a_displayed_formula_is_a_fraction_and_no_latex(slides):
    assert len(slides[1].select(".formula mfrac")) == 1
    assert "\\frac" not in slides[1].text


def test_a_dollar_in_code_opens_no_formula(slides):
    assert "$5 or $6" in [element.text for element in slides[1].select("code")]


def test_speaker_notes_are_kept_apart(slides):
    assert "welcome" in slides[0].select_one("aside.notes").text


def test_skipped_cells_are_left_out(html):
    assert "Too much for a class." not in html


def test_prompts_are_left_out(page):
    assert not re.search(r"(In|Out)\s*\[", page.text)


def test_code_and_its_output_are_shown(page):
    assert "shown = 1" in page.text
    assert "it prints" in page.text


def test_a_tag_leaves_out_an_output(page):
    assert "only_code" in page.text
    assert "a hidden output" not in page.text


def test_a_tag_leaves_out_the_code(page):
    assert "hidden_code" not in page.text
    assert "only an output" in page.text


def test_the_command_writes_a_page_and_prints_its_number_of_slides(tmp_path, capsys):
    nbformat.write(NOTEBOOK, tmp_path / "small.ipynb")
    main([str(tmp_path / "small.ipynb"), "--out", str(tmp_path / "slides")])
    page = tmp_path / "slides" / "small.html"
    assert capsys.readouterr().out == f"{page}: 2 slides\n"
    assert "A small lesson" in page.read_text(encoding="utf-8")


def test_the_command_names_a_notebook_that_is_not_there(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path / "none.ipynb")])
    assert "none.ipynb is not a file" in capsys.readouterr().err


# The lessons


def kinds(path):
    cells = nbformat.read(path, as_version=4).cells
    return [c.metadata.get("slideshow", {}).get("slide_type") for c in cells]


@by_lesson
def test_every_cell_of_a_lesson_is_marked(path):
    wrong = [(i, kind) for i, kind in enumerate(kinds(path)) if kind not in KINDS]
    assert wrong == [], f"cells of {path.name} by number, with their slide type"


@by_lesson
def test_a_lesson_begins_with_a_slide(path):
    assert kinds(path)[0] == "slide"


@by_lesson
def test_a_lesson_has_ten_to_fifteen_slides(path):
    assert 10 <= kinds(path).count("slide") <= 15


@by_lesson
def test_a_lessons_slides_load_nothing_and_have_no_latex(path):
    html = slides_html(nbformat.read(path, as_version=4))
    assert all(url.startswith("data:") for url in loaded(html))
    assert not re.search(r"\\(frac|sqrt|log|sum)\b", html)
