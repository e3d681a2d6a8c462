"""Slides in a real browser: nothing is cut off, and they work from a folder."""

import base64
import io

import nbformat
import pytest
from deck import Deck
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

pytest.importorskip("latex2mathml", reason="see teaching/requirements.txt")
from slides import lesson_paths, slides_html

CODE_LINE = "x = " + "1" * 84  # 88 columns, as wide as a lesson's code can be
MOST_LINES = 22  # of code below a heading


@pytest.fixture(scope="module")
def open_deck(browser, tmp_path_factory):
    """Writes a notebook's slides into a folder and opens them; returns a `Deck`."""
    folder = tmp_path_factory.mktemp("slides")

    def open_it(name, notebook):
        path = folder / f"{name}.html"
        path.write_text(slides_html(notebook), encoding="utf-8")
        return Deck(browser, path)

    return open_it


def slide(*cells):
    """One slide that holds these cells."""
    for i, cell in enumerate(cells):
        cell.metadata["slideshow"] = {"slide_type": "-" if i else "slide"}
    return list(cells)


def heading(text):
    return new_markdown_cell(f"## {text}")


def code(*lines, outputs=()):
    return new_code_cell("\n".join(lines), outputs=list(outputs))


def notes(text):
    cell = new_markdown_cell(text)
    cell.metadata["slideshow"] = {"slide_type": "notes"}
    return cell


def after_a_key(cell):
    """A cell that appears at a key press."""
    cell.metadata["slideshow"] = {"slide_type": "fragment"}
    return cell


def figure():
    picture = io.BytesIO()
    Figure(figsize=(7, 4)).savefig(picture)
    png = base64.b64encode(picture.getvalue()).decode()
    return new_output("display_data", data={"image/png": png})


def printed(text):
    return new_output("stream", text=text)


ANSWERS = """1. Why?

<details>
<summary>Answer</summary>

Because.

</details>

2. And how?

<details>
<summary>Answer</summary>

Slowly.

</details>
"""
LONG_ANSWER = "<details><summary>Answer</summary>\n\n" + "Yes.\n\n" * 30 + "</details>"
SLIDES = {
    "full": slide(heading("Full"), code(*[CODE_LINE] * MOST_LINES)),
    "long": slide(heading("Long"), code(*[CODE_LINE] * (MOST_LINES + 5))),
    "wide": slide(heading("Wide"), code(CODE_LINE + "1" * 20)),
    "table": slide(new_markdown_cell("|a|b|\n|---|---|\n|" + "w" * 120 + "|b|")),
    "command": slide(new_markdown_cell(f"Type\n\n    {'word ' * 30}")),
    "sample": slide(heading("Sample"), code("s", outputs=[printed("word " * 99)])),
    "alone": slide(heading("Figure"), code("plot()", outputs=[figure()])),
    "plot": slide(heading("Figure"), code(*["plot()"] * 9, outputs=[figure()])),
    "figures": slide(*[code("plot()", outputs=[figure()]) for _ in range(3)]),
    "answers": [*slide(new_markdown_cell(ANSWERS)), notes("Wait for *answers*.")],
    "question": [
        *slide(new_markdown_cell("Guess.")),
        after_a_key(code(*["plot()"] * 9, outputs=[figure()])),
    ],
    "long answer": slide(new_markdown_cell(LONG_ANSWER)),
}
NUMBER = {name: i + 1 for i, name in enumerate(SLIDES)}


@pytest.fixture(scope="module")
def examples(open_deck):
    """A deck of one slide for each example above."""
    cells = [cell for cells in SLIDES.values() for cell in cells]
    notebook = new_notebook(cells=[nbformat.from_dict(cell) for cell in cells])
    return open_deck("examples", notebook)


@pytest.fixture
def answers(examples):
    """The page that shows folded answers, all closed."""
    examples.show(NUMBER["answers"])
    close = (
        "() => document.querySelectorAll('details').forEach(d => { d.open = false })"
    )
    examples.page.evaluate(close)
    return examples.page


def summary(page, index):
    return page.locator("section.present summary:visible").nth(index)


def are_open(page):
    return page.locator("section.present details:visible").evaluate_all(
        "found => found.map(answer => answer.open)"
    )


@pytest.mark.parametrize(
    "name", ["full", "command", "sample", "alone", "plot", "answers", "question"]
)
def test_what_fits_is_not_reported(examples, name):
    found = examples.measure(NUMBER[name])
    assert (found["below"], found["right"]) == (0, 0)


@pytest.mark.parametrize("name", ["long", "figures", "long answer"])
def test_a_slide_that_is_too_long_is_reported(examples, name):
    assert examples.measure(NUMBER[name])["below"] > 20


@pytest.mark.parametrize("name", ["wide", "table"])
def test_a_line_that_is_too_wide_is_reported(examples, name):
    assert examples.measure(NUMBER[name])["right"] > 20


def test_a_report_names_slide_heading_and_pixels(examples):
    assert "slide 2 (Long) is too long by" in examples.overflows()[0]


def test_a_figure_makes_room_for_code(examples):
    alone, beside_code = (
        examples.measure(NUMBER[name])["figures"][0] for name in ("alone", "plot")
    )
    assert alone > beside_code >= 300


def test_a_figure_keeps_its_shape(examples):
    examples.show(NUMBER["plot"])
    box = examples.page.locator("section.present img:visible").bounding_box()
    assert box["width"] / box["height"] == pytest.approx(7 / 4, rel=0.01)


def test_a_click_unfolds_an_answer(answers):
    summary(answers, 0).click()
    assert are_open(answers) == [True, False]


def test_one_answer_is_open_at_a_time(answers):
    summary(answers, 0).click()
    summary(answers, 1).click()
    assert are_open(answers) == [False, True]


def test_space_unfolds_an_answer_and_does_not_turn_the_page(answers):
    summary(answers, 0).focus()
    answers.keyboard.press("Space")
    assert are_open(answers) == [True, False]


def test_arrow_keys_turn_the_page(examples):
    examples.show(1)
    examples.page.keyboard.press("ArrowRight")
    assert examples.page.evaluate("Reveal.getIndices().h") == 1


def test_what_follows_a_question_appears_at_a_key_press(examples):
    page, number = examples.page, NUMBER["question"]
    page.evaluate("number => Reveal.slide(number - 1, 0, -1)", number)
    output = page.locator("section.present img")
    assert not output.is_visible()
    page.keyboard.press("ArrowRight")
    output.wait_for(state="visible")
    assert page.evaluate("Reveal.getIndices().h") == number - 1


def test_key_s_opens_a_window_with_the_speaker_notes(examples):
    examples.show(NUMBER["answers"])
    with examples.page.expect_popup() as popup:
        examples.page.keyboard.press("s")
    shown = popup.value.locator(".speaker-controls-notes .value", has_text="Wait for")
    shown.wait_for()
    popup.value.close()


def test_for_print_each_slide_is_a_page_with_the_same_margins(browser, examples):
    page = browser.new_page()
    page.goto(examples.page.url.split("#")[0] + "?print-pdf")
    page.locator(".pdf-page").nth(len(SLIDES) - 1).wait_for()
    margins = page.locator(".pdf-page > section").evaluate_all(
        "found => found.map(slide => getComputedStyle(slide).paddingLeft)"
    )
    assert margins == ["60px"] * len(SLIDES)
    page.close()


# The lessons


@pytest.fixture(scope="module", params=lesson_paths(), ids=lambda path: path.stem)
def lesson(request):
    return nbformat.read(request.param, as_version=4)


@pytest.fixture(scope="module")
def deck(lesson, open_deck, request):
    deck = open_deck("lesson", lesson)
    yield deck
    deck.page.close()


def test_a_lesson_has_ten_to_fifteen_slides(deck):
    assert 10 <= len(deck) <= 15


def test_a_lesson_has_as_many_slides_as_are_marked(deck, lesson):
    marks = [c.metadata.get("slideshow", {}).get("slide_type") for c in lesson.cells]
    assert len(deck) == marks.count("slide")


def test_no_slide_of_a_lesson_overflows(deck):
    found = deck.overflows()
    assert not found, "\n".join([deck.page.title(), *found])


def test_a_lessons_slides_ask_nothing_of_the_network(deck):
    for number in range(1, len(deck) + 1):
        deck.show(number)
    assert deck.foreign_requests == []
    assert deck.errors == []
