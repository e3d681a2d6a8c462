"""Draw the README's picture from the stored output of lesson 02: `make results`."""

import re
import textwrap
from pathlib import Path

import nbformat
from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parent.parent.parent
LESSON = ROOT / "notebooks" / "02_training_loop.ipynb"
PICTURE = ROOT / ".github" / "training.png"
LINE = re.compile(r"step +(\d+) +train +([\d.]+) +val +([\d.]+)\n  (.*)")


def evaluations() -> list[tuple[int, float, float, str]]:
    """(step, training loss, validation loss, sample) of the lesson's long run."""
    for cell in nbformat.read(LESSON, as_version=4).cells:
        for output in cell.get("outputs", []):
            found = LINE.findall(output.get("text", ""))
            if len(found) > 3:
                return [(int(s), float(t), float(v), text) for s, t, v, text in found]
    raise ValueError(f"{LESSON} holds no run; execute it first")


def main() -> None:
    rows = evaluations()
    steps, train, val, samples = zip(*rows)
    figure = Figure(figsize=(10.5, 4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    left.plot(steps, train, "o-", label="training")
    left.plot(steps, val, "s--", label="validation")
    left.set_title("200 steps on twelve short stories", fontsize=10)
    left.set_xlabel("optimizer step")
    left.set_ylabel("cross entropy (nats per token)")
    left.legend()
    right.axis("off")
    right.set_title("What the model says, from the same prompt", fontsize=10)
    for row, i in enumerate((0, 2, 4, 6)):
        text = re.sub(r"\s+", " ", samples[i]).replace("$", r"\$")
        lines = textwrap.wrap(text, 62)[:3]
        y = 0.97 - 0.25 * row
        right.text(0, y, f"step {steps[i]}", weight="bold", va="top", fontsize=9)
        right.text(0, y - 0.055, "\n".join(lines), va="top", fontsize=9)
    figure.savefig(PICTURE, dpi=110, metadata={"Software": None})
    print(PICTURE.relative_to(ROOT))


if __name__ == "__main__":
    main()
