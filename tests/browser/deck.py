"""A deck of slides in a real browser: how full each slide is, and how it looks."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

SLIDE = {"width": 1280, "height": 720}

# Of the slide that is shown: what it holds, with every answer folded and, one after
# the other, with each answer open; the fullest of these counts.
_MEASURE = """() => {
    const slide = Reveal.getCurrentSlide();
    const frame = slide.getBoundingClientRect();
    const style = getComputedStyle(slide);
    const top = frame.top + parseFloat(style.paddingTop);
    const bottom = frame.bottom - parseFloat(style.paddingBottom);
    const right = frame.right - parseFloat(style.paddingRight);
    const parts = () => [...slide.querySelectorAll("*")].filter(
        part => part.checkVisibility() && !part.closest("aside, .foot"));
    // what a box cuts off or lets out, and what ends beyond the margin
    const beyond = part => Math.max(part.getBoundingClientRect().right - right,
        part.clientWidth > 0 ? part.scrollWidth - part.clientWidth : 0);
    const look = () => ({
        end: Math.max(top, ...parts().map(part => part.getBoundingClientRect().bottom)),
        right: Math.max(0, ...parts().map(beyond)),
    });
    const looks = [look()];
    for (const answer of slide.querySelectorAll("details")) {
        answer.open = true;
        looks.push(look());
        answer.open = false;
    }
    const end = Math.max(...looks.map(found => found.end));
    const figures = [...slide.querySelectorAll("img")].map(
        image => Math.round(image.getBoundingClientRect().height));
    return {
        heading: (slide.querySelector(":is(h1, h2, h3):not(aside *)")
            ?? slide.querySelector(".foot")).textContent,
        fill: Math.round(100 * (end - top) / (bottom - top)),
        below: Math.ceil(Math.max(0, end - bottom - 0.5)),
        right: Math.ceil(Math.max(0, ...looks.map(found => found.right - 0.5))),
        figures,
    };
}"""


class Deck:
    """The slides of one HTML file, and what its page did that it should not."""

    def __init__(self, browser, path: Path):
        self.page = browser.new_page(viewport=SLIDE)
        self.foreign_requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", self._note_request)
        self.page.on("pageerror", lambda error: self.errors.append(error.message))
        self.page.goto(path.resolve().as_uri())
        self.page.wait_for_function("Reveal.isReady()")

    def _note_request(self, request) -> None:
        parts = urlsplit(request.url)
        inside = parts.scheme in ("file", "data", "blob", "about")
        if not inside and parts.hostname not in ("127.0.0.1", "localhost"):
            self.foreign_requests.append(request.url)

    def __len__(self) -> int:
        return self.page.evaluate("Reveal.getTotalSlides()")

    def show(self, number: int) -> None:
        """Turn to a slide, all of it; the first is number 1."""
        self.page.evaluate("number => Reveal.slide(number - 1, 0, 99)", number)

    def measure(self, number: int) -> dict:
        """{"heading", "fill", "below", "right", "figures"} of one slide.

        heading: of the slide, or what its foot says; fill: how much of the height is
        used, in percent; below, right: by how many pixels the slide overflows;
        figures: the height of each, in pixels.
        """
        self.show(number)
        return self.page.evaluate(_MEASURE)

    def overflows(self) -> list[str]:
        """A sentence on each slide that does not fit."""
        found = []
        for number in range(1, len(self) + 1):
            slide = self.measure(number)
            name = f"slide {number} ({slide['heading']})"
            if slide["below"]:
                found.append(f"{name} is too long by {slide['below']} px")
            if slide["right"]:
                found.append(f"{name} is too wide by {slide['right']} px")
        return found

    def screenshot(self, number: int, path: Path) -> None:
        self.show(number)
        self.page.screenshot(path=path)
