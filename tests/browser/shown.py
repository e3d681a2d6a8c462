"""A chart on the page, as a reader finds it: by labels, text and what is drawn."""

from __future__ import annotations

import re

CURVE = 0  # of the live chart's lines: training, each batch

# Looks at a condition until it holds, and says whether it ever did.
_COMES = """(plot, [value, seconds]) => new Promise(done => {
    const box = plot.closest(".llm-chart");
    const end = performance.now() + 1000 * seconds;
    const look = () => {
        if (CONDITION) done(true);
        else if (performance.now() > end) done(false);
        else setTimeout(look, 20);
    };
    look();
})"""

# Notes the seconds from the click on Stop until the page says that the run has stopped.
_WATCH_STOP = """box => {
    let clicked = null;
    window.secondsToStop = null;
    const buttons = [...box.querySelectorAll("button")];
    const stop = buttons.find(button => button.title === "Stop");
    stop.addEventListener("click", () => { clicked = performance.now(); }, true);
    new MutationObserver((_, watcher) => {
        if (box.querySelector("b").textContent === "stopped") {
            window.secondsToStop = (performance.now() - clicked) / 1000;
            watcher.disconnect();
        }
    }).observe(box, {subtree: true, childList: true, characterData: true});
}"""

# Of each text in the plot with the page behind it, as WCAG 2 defines contrast.
_CONTRASTS = """box => {
    const channels = colour => colour.match(/[\\d.]+/g).map(Number);
    const linear = c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const luminance = colour => {
        const [r, g, b] = colour.slice(0, 3).map(c => linear(c / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const over = ([r, g, b, alpha = 1], behind) =>
        [r, g, b].map((c, i) => alpha * c + (1 - alpha) * behind[i]);
    const background = element => {
        const colour = channels(getComputedStyle(element).backgroundColor);
        return colour.length === 3 ? colour : background(element.parentElement);
    };
    const page = background(box), behind = luminance(page);
    const texts = [...box.querySelectorAll(".main-svg text")];
    return texts.filter(text => text.textContent.trim() !== "").map(text => {
        const ink = luminance(over(channels(getComputedStyle(text).fill), page));
        const [light, dark] = [Math.max(ink, behind), Math.min(ink, behind)];
        return {ratio: (light + 0.05) / (dark + 0.05), isLighter: ink > behind};
    });
}"""

_HAS_FOCUS = """label => {
    const control = document.activeElement.closest(".widget-slider, button");
    return control !== null && control.textContent.includes(label);
}"""


class Shown:
    """The chart in the output of a cell."""

    def __init__(self, lab, index: int):
        self.lab, self.page, self.index = lab, lab.page, index
        self.box = lab.cell(index).locator(".llm-chart").first
        self.plot = self.box.locator(".js-plotly-plot")

    def wait_until_drawn(self) -> None:
        self.plot.locator(".main-svg").first.wait_for(timeout=60_000)
        self.plot.scroll_into_view_if_needed()

    def comes(self, condition: str, value=None, seconds: float = 20) -> bool:
        """Whether a JavaScript condition on `plot`, `box` and `value` comes to hold."""
        program = _COMES.replace("CONDITION", condition)
        return self.plot.evaluate(program, [value, seconds])

    def text(self) -> str:
        return self.box.inner_text()

    def comes_to_show(self, text: str) -> bool:
        return self.comes("box.innerText.includes(value)", text)

    # ---- lines and bars

    def data(self, trace: int, axis: str) -> list:
        """The values that a line or bars have on the page."""
        values = "(plot, [trace, axis]) => Array.from(plot.data[trace][axis] ?? [])"
        return self.plot.evaluate(values, [trace, axis])

    def points(self) -> int:
        """Of the live chart's curve."""
        return len(self.data(CURVE, "x"))

    def grows_beyond(self, points: int) -> bool:
        return self.comes(f"plot.data[{CURVE}].x?.length > value", points, seconds=60)

    def contrasts(self) -> list[dict]:
        """{"ratio", "isLighter"} of each text in the plot."""
        return self.box.evaluate(_CONTRASTS)

    # ---- the live chart

    def state(self) -> str:
        return self.box.locator("b").first.inner_text()

    def becomes(self, state: str) -> bool:
        return self.comes('box.querySelector("b").textContent === value', state)

    def step(self) -> int:
        """The step counter."""
        found = re.search(r"step ([\d,]+) of", self.text())
        return int(found[1].replace(",", "")) if found else 0

    def step_moves_from(self, step: int) -> bool:
        return self.comes("!box.innerText.includes(value)", f"step {step:,} of")

    def click(self, button: str) -> None:
        self.box.get_by_role("button", name=button).click()

    def seconds_to_stop(self) -> float:
        """Click Stop; how long it took until the page said so."""
        self.box.evaluate(_WATCH_STOP)
        self.click("Stop")
        self.page.wait_for_function("window.secondsToStop !== null")
        return self.page.evaluate("window.secondsToStop")

    # ---- controls

    def handle(self, label: str):
        """What is dragged of the slider with that label."""
        row = self.box.locator(".widget-slider").filter(
            has=self.page.get_by_text(label, exact=True)
        )
        return row.locator(".noUi-handle")

    def press(self, label: str, *keys: str) -> None:
        """Move the slider with that label by keys alone."""
        self.handle(label).focus()
        for key in keys:
            self.page.keyboard.press(key)

    def tab_to(self, label: str) -> None:
        """Press Tab until the button or slider with that label has the focus."""
        for _ in range(60):
            self.page.keyboard.press("Tab")
            if self.page.evaluate(_HAS_FOCUS, label):
                return
        raise AssertionError(f"Tab never reaches {label}")
