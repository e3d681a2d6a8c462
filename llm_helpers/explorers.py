"""Explorers of one prediction: what its loss is, and which tokens sampling keeps."""

from __future__ import annotations

import html
import math

import ipywidgets as widgets
import torch
import torch.nn.functional as F
from torch import nn

from llm_helpers.chart import COLOURS, GREY, Chart, new_figure, wide
from llm_helpers.data import Vocabulary
from llm_helpers.generation import next_token_probas
from llm_helpers.loss import evaluation_mode, perplexity

SHOWN_TOKENS = 20
_TOP_K = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)


class CrossEntropyExplorer(Chart):
    """Sliders for a few logits: see softmax, -log p, loss and perplexity follow.

    Args:
        logits: a score for each token, by the token's text.
        target: the token that really came next.

    Raises:
        ValueError: fewer than two tokens, or a target that is not among them.
    """

    def __init__(self, logits: dict[str, float], target: str):
        if len(logits) < 2 or target not in logits:
            raise ValueError(
                f"target={target!r} must be one of at least two tokens, "
                f"and these are {list(logits)}"
            )
        self.tokens = list(logits)
        self._make_controls(logits, target)
        self._make_figure()
        super().__init__(self._rows())
        self._draw()

    def probas(self) -> torch.Tensor:
        """Softmax of the logits over the temperature, one entry for each token."""
        return torch.softmax(self._scaled_logits(), dim=-1)

    def loss(self) -> float:
        """Cross entropy of the target, in nats."""
        target = torch.tensor(self.tokens.index(self.target.value))
        return F.cross_entropy(self._scaled_logits(), target).item()

    def _scaled_logits(self) -> torch.Tensor:
        logits = torch.tensor([slider.value for slider in self.sliders])
        return logits / self.temperature.value

    def _draw(self, _change=None) -> None:
        probas, loss = self.probas().tolist(), self.loss()
        is_target = [token == self.target.value for token in self.tokens]
        bars, _, point = self._figure.data
        with self._figure.batch_update():
            bars.x, bars.y = self.tokens, probas
            bars.text = [f"{p:.3f}" for p in probas]
            bars.marker.color = [COLOURS[t] for t in is_target]
            bars.marker.pattern.shape = ["/" if t else "" for t in is_target]
        with self._figure.batch_update():  # in one batch the point loses its colour
            point.x, point.y = [probas[is_target.index(True)]], [loss]
        self.numbers.value = (
            f"p({html.escape(self.target.value)}) = {math.exp(-loss):.4f} · "
            f"loss = -log p = <b>{loss:.3f} nats</b> · "
            f"perplexity = {perplexity(loss):.4g} of {len(self.tokens)} tokens"
        )

    def _make_controls(self, logits: dict[str, float], target: str) -> None:
        bound = max(6, *map(abs, logits.values()))  # a slider would cut what is beyond
        self.sliders = [
            widgets.FloatSlider(
                value, description=token, min=-bound, max=bound, step=0.1
            )
            for token, value in logits.items()
        ]
        self.target = widgets.Dropdown(
            options=self.tokens, value=target, description="Target"
        )
        self.temperature = _temperature()
        self.numbers = widgets.HTML()
        for control in (*self.sliders, self.target, self.temperature):
            control.observe(self._draw, "value")

    def _make_figure(self) -> None:
        figure = new_figure(
            height=310,
            title_text="Only the target's bar counts for the loss",
            xaxis=dict(domain=[0, 0.46], type="category"),
            xaxis2=dict(domain=[0.6, 1], anchor="y2", title_text="p of the target"),
            yaxis=dict(range=[0, 1.1], title_text="probability"),
            yaxis2=dict(anchor="x2", range=[0, 8], title_text="loss (nats)"),
            showlegend=False,
        )
        p = [10 ** (-3.5 + i / 40) for i in range(141)]
        figure.add_bar(name="softmax", textposition="outside")
        figure.add_scatter(
            x=p,
            y=[-math.log(x) for x in p],
            **dict(xaxis="x2", yaxis="y2", name="-log p"),
            line=dict(color=COLOURS[0]),
        )
        figure.add_scatter(
            **dict(xaxis="x2", yaxis="y2", name="the target", mode="markers"),
            marker=dict(color=COLOURS[1], size=12, symbol="diamond"),
        )
        self._figure = figure

    def _rows(self) -> list[widgets.Widget]:
        settings = widgets.VBox([self.target, self.temperature])
        logits = widgets.VBox([widgets.HTML("<b>Logits</b>"), *self.sliders])
        return [widgets.HBox([logits, settings]), self._figure, self.numbers]


class SamplingExplorer(Chart):
    """Which tokens temperature, top-k and top-p leave to draw the next one from.

    Args:
        model: maps token ids (B, T) to logits (B, T, V).
        prompt: what the model reads; at least one token, and can be edited.
        context_size: how many of the latest tokens the model reads.

    Raises:
        ValueError: an empty prompt.
    """

    def __init__(
        self, model: nn.Module, prompt: str, tokenizer: Vocabulary, context_size: int
    ):
        self.model, self.tokenizer = model, tokenizer
        self.context_size = context_size
        self.logits = self._logits_after(prompt)  # (V,)
        self._make_controls(prompt)
        self._make_figure()
        super().__init__(self._rows())
        self._draw()

    def kept(self) -> torch.Tensor:
        """Probabilities that the next token is drawn from, (V,); dropped ones are 0."""
        return next_token_probas(
            self.logits,
            top_k=None if self.top_k.value == "all" else int(self.top_k.value),
            temperature=self.temperature.value,
            top_p=self.top_p.value,
        )

    def _logits_after(self, prompt: str) -> torch.Tensor:
        ids = self.tokenizer.encode_ordinary(prompt)[-self.context_size :]
        if not ids:
            raise ValueError("prompt is empty; give at least one token")
        device = next(self.model.parameters()).device
        with evaluation_mode(self.model):
            return self.model(torch.tensor([ids], device=device))[0, -1].cpu()

    def _read_prompt(self, change) -> None:
        try:
            self.logits = self._logits_after(change.new)
        except ValueError as error:
            self.numbers.value = str(error)
        else:
            self._draw()

    def _draw(self, _change=None) -> None:
        full, kept = torch.softmax(self.logits, dim=-1), self.kept()
        values, ids = full.topk(min(SHOWN_TOKENS, len(full)))
        names = [self._name(i) for i in ids.tolist()]
        before, after = self._figure.data
        with self._figure.batch_update():
            self._figure.layout.xaxis.ticktext = names
            before.y, after.y = values.tolist(), kept[ids].tolist()
        remain = kept > 0
        self.numbers.value = (
            f"<b>{remain.sum().item():,} of {len(full):,} tokens remain</b>; the model "
            f"gives them {full[remain].sum().item():.3f} of its probability"
        )

    def _name(self, token_id: int) -> str:
        return repr(self.tokenizer.decode([token_id]))

    def _make_controls(self, prompt: str) -> None:
        self.prompt = widgets.Text(
            prompt, description="Prompt", continuous_update=False, layout=wide("60%")
        )
        self.temperature = _temperature()
        self.top_k = widgets.SelectionSlider(
            options=[*map(str, _TOP_K), "all"], value="all", description="Top-k"
        )
        self.top_p = widgets.FloatSlider(
            1.0, description="Top-p", min=0.02, max=1, step=0.02
        )
        self.numbers = widgets.HTML()
        self.prompt.observe(self._read_prompt, "value")
        for control in (self.temperature, self.top_k, self.top_p):
            control.observe(self._draw, "value")

    def _make_figure(self) -> None:
        places = list(range(min(SHOWN_TOKENS, len(self.logits))))
        figure = new_figure(
            title_text=f"The {len(places)} likeliest next tokens",
            yaxis=dict(title_text="probability", rangemode="tozero"),
            xaxis=dict(tickvals=places, tickangle=-45),
            barmode="overlay",
            margin_b=95,
        )
        outline = dict(color=GREY, opacity=0.45, pattern_shape="/")
        figure.add_bar(x=places, name="the model's", marker=outline)
        figure.add_bar(x=places, name="drawn from", marker_color=COLOURS[0], width=0.45)
        self._figure = figure

    def _rows(self) -> list[widgets.Widget]:
        sliders = widgets.HBox([self.temperature, self.top_k, self.top_p])
        return [self.prompt, sliders, self._figure, self.numbers]


def _temperature() -> widgets.FloatLogSlider:
    return widgets.FloatLogSlider(
        1.0,
        description="Temperature",
        min=-1,
        max=1,
        step=0.05,
        readout_format=".2f",
        style=dict(description_width="initial"),
    )
