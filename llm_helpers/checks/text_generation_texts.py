"""Check of the exercise of lesson 06 that writes whole texts."""

import torch
from torch import nn

from llm_helpers.checks.verdict import (
    call_with_gradients,
    check,
    require,
    require_value,
)


class CountingModel(nn.Module):
    """A model without chance whose next token depends on all that it reads.

    Token ids (B, T) -> logits (B, T, V). The likeliest token after position t is a sum
    over the tokens up to t, weighted by their positions, modulo V. It notes how many
    tokens it has read at each call.
    """

    V = 101

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))  # so that gradients can be tracked
        self.lengths = []

    def forward(self, ids):
        self.lengths.append(ids.shape[1])
        positions = torch.arange(1, ids.shape[1] + 1)
        likeliest = ((ids + 1) * positions).cumsum(dim=1) % self.V
        distance = (torch.arange(self.V) - likeliest[..., None]) % self.V
        return -self.scale * distance


@check
def continue_text(answer):
    prompts = {
        length: torch.randint(CountingModel.V, (3, length)) for length in (3, 8, 1)
    }
    for length, num_new, context_len in ((3, 7, 5), (8, 4, 5), (1, 3, 5), (3, 0, 5)):
        for choose in (_likeliest, _least_likely):
            _require_text(answer, prompts[length], num_new, context_len, choose)


def _likeliest(logits):
    return logits.argmax(dim=-1)


def _least_likely(logits):
    return logits.argmin(dim=-1)


def _require_text(answer, prompt, num_new, context_len, choose):
    model, asked = CountingModel().eval(), []

    def noted(logits):
        _require_logits(logits, len(prompt))
        asked.append(logits)
        return choose(logits)

    given = prompt.clone()
    ids = _ids_with_gradients_left_on(answer, model, given, num_new, context_len, noted)
    require(torch.equal(given, prompt), "the prompt is changed: make new tensors")
    case = f"for a prompt of {prompt.shape[1]} tokens and num_new={num_new}"
    _require_reads(model.lengths, context_len, num_new)
    require(
        bool(asked) or num_new == 0,
        "`choose` is not asked: call it with the logits, it returns the next ids",
    )
    _require_length(ids, prompt, num_new, context_len, case)
    require_value(
        f"the ids {case}",
        ids,
        _text(prompt, num_new, context_len, choose),
        _wrong_texts(prompt, num_new, context_len, choose),
    )
    require(
        len(asked) == num_new,
        f"`choose` is called {len(asked)} times {case}: once for each new token, since "
        "a draw too many moves the generator on",
    )
    _require_the_models_logits(asked, ids, prompt.shape[1], context_len)


def _ids_with_gradients_left_on(answer, *arguments):
    ids, is_enabled = call_with_gradients(answer, *arguments)
    require(
        is_enabled,
        "gradients stay switched off after the call, so nothing could be trained any "
        "more: use `with torch.no_grad():`, which ends with its block",
    )
    return ids


def _require_logits(logits, num_rows):
    shape = num_rows, CountingModel.V
    require(
        isinstance(logits, torch.Tensor) and tuple(logits.shape) == shape,
        "`choose` should be given logits of the shape (B, V), those of the last "
        f"position, not {tuple(getattr(logits, 'shape', ()))}",
    )
    require(
        not logits.requires_grad,
        "gradients are tracked, and the graphs of all tokens fill the memory: call the "
        "model under `torch.no_grad()`",
    )
    sums = logits.sum(dim=-1)
    require(
        bool((logits < 0).any()) or not torch.allclose(sums, torch.ones_like(sums)),
        "`choose` is given probabilities: hand it the logits, it does the rest",
    )


def _require_the_models_logits(asked, ids, length, context_len):
    """The ids are right; what `choose` was given has to be the model's, unchanged."""
    with torch.no_grad():
        for place, given in enumerate(asked, start=length):
            logits = CountingModel()(ids[:, :place][:, -context_len:])[:, -1]
            require(
                torch.allclose(given.to(logits.dtype), logits),
                "`choose` is given other numbers than the model's logits: hand these "
                "on as they are",
            )


def _require_reads(lengths, context_len, num_new):
    require(
        bool(lengths) or num_new == 0,
        "the model is never called: its logits say what comes next",
    )
    require(
        max(lengths, default=0) <= context_len,
        f"the model is given {max(lengths, default=0)} tokens where its context is "
        f"{context_len}: crop what it reads to the latest `context_len`",
    )


def _require_length(ids, prompt, num_new, context_len, case):
    require(
        isinstance(ids, torch.Tensor) and ids.dim() == 2 and len(ids) == len(prompt),
        "a tensor of ids (B, T + num_new) should come back, not "
        f"{tuple(getattr(ids, 'shape', ())) or type(ids).__name__}",
    )
    length = prompt.shape[1] + num_new
    if ids.shape[1] == length:
        return
    is_new_only = ids.shape[1] == num_new and num_new > 0
    require(
        not is_new_only,
        f"only the {num_new} new tokens come back {case}: the prompt comes first",
    )
    require(
        ids.shape[1] not in (context_len, context_len + 1) or length < context_len,
        f"the beginning of the text is lost {case}: crop what the model reads, not the "
        "text itself",
    )
    require(
        ids.shape[1] > prompt.shape[1] or num_new == 0,
        f"nothing is appended {case}: join each new token to the ids",
    )
    require(
        False,
        f"{ids.shape[1]} tokens come back {case}: these make {length}",
    )


def _text(prompt, num_new, context_len, choose, read=None, position=-1, in_front=False):
    """What `continue_text` should return, or returns with one of the mistakes."""
    model, ids = CountingModel(), prompt
    with torch.no_grad():
        for _ in range(num_new):
            seen = ids[:, -context_len:] if read is None else read(ids)
            next_ids = choose(model(seen)[:, position])
            parts = [ids, next_ids[:, None]]
            ids = torch.cat(parts[::-1] if in_front else parts, dim=1)
    return ids


def _wrong_texts(prompt, num_new, context_len, choose):
    """For each sentence the ids that its mistake gives."""

    def reading(read, position=-1):
        return _text(prompt, num_new, context_len, choose, read, position)

    return {
        "the model reads the first `context_len` tokens: it should read the latest": (
            reading(lambda ids: ids[:, :context_len])
        ),
        "the model reads only the last token: give it all that fit its context": (
            reading(lambda ids: ids[:, -1:])
        ),
        "the model reads one token too few: its context holds `context_len`": (
            reading(lambda ids: ids[:, -(context_len - 1) :])
        ),
        "the model reads the prompt alone, again and again: it should read what has "
        "been written too": reading(
            lambda ids: ids[:, : prompt.shape[1]][:, -context_len:]
        ),
        "the logits are those of the first position: the last one says what comes "
        "next": reading(lambda ids: ids[:, -context_len:], position=0),
        "new tokens come before the prompt: append them": (
            _text(prompt, num_new, context_len, choose, in_front=True)
        ),
    }
