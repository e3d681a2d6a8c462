"""How full each slide of a deck is and, with a folder, a picture of each.

python tests/browser/slide_shots.py slides/02_training_loop.html [FOLDER]
"""

import sys
from pathlib import Path

from deck import Deck
from lab import CHROMIUM, FLAGS
from playwright.sync_api import sync_playwright


def line(number: int, slide: dict) -> str:
    """Number, fill and heading, then what a marker of cells should know."""
    text = f"{number:2}  {slide['fill']:3} %  {slide['heading']}"
    if slide["figures"]:
        text += f"  (figure {', '.join(map(str, slide['figures']))} px)"
    if slide["below"]:
        text += f"  TOO LONG by {slide['below']} px"
    if slide["right"]:
        text += f"  TOO WIDE by {slide['right']} px"
    return text


def main(deck_path: str, folder: str | None = None) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        deck = Deck(browser, Path(deck_path))
        for number in range(1, len(deck) + 1):
            print(line(number, deck.measure(number)))
            if folder is not None:
                Path(folder).mkdir(parents=True, exist_ok=True)
                deck.screenshot(number, Path(folder) / f"{number:02}.png")


if __name__ == "__main__":
    main(*sys.argv[1:]) if len(sys.argv) in (2, 3) else sys.exit(__doc__)
