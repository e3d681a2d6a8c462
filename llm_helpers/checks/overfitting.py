"""Checks of the exercises of lesson 04; those of epochs and of window losses."""

import torch
import torch.nn.functional as F

from llm_helpers.checks.overfitting_entropies import entropy, relative_entropy
from llm_helpers.checks.overfitting_landmarks import landmarks
from llm_helpers.checks.overfitting_memory import longest_run, memory_floor
from llm_helpers.checks.specimens import small_batch, small_model
from llm_helpers.checks.verdict import (
    call_with_gradients,
    check,
    require,
    require_value,
)

__all__ = [
    "entropy",
    "epochs_seen",
    "landmarks",
    "longest_run",
    "memory_floor",
    "relative_entropy",
    "window_losses",
]


@check
def epochs_seen(answer):
    steps = [0, 1, 2, 3, 7, 11]  # of 20 windows in batches of 8, 8 and 4
    made = torch.tensor(steps) + 1
    expected = torch.tensor([0.4, 0.8, 1.0, 1.4, 2.8, 4.0])
    short_as_full = "the short last batch of an epoch counts as a full one"
    require_value(
        "the list of epochs for the steps 0, 1, 2, 3, 7 and 11, with 20 windows in "
        "batches of 8,",
        answer(list(steps), 20, 8),
        expected,
        {
            "the evaluation after step 0 comes when one step is made, not none: count "
            "`step + 1` steps": torch.tensor([0.0, 0.4, 0.8, 1.0, 2.4, 3.8]),
            "every step counts as an equal part of an epoch: a full batch reads more "
            "windows than the short one, so count windows": made / 3,
            "every step counts as an equal part of an epoch, and step 0 as none: count "
            "the windows of `step + 1` steps": (made - 1) / 3,
            f"{short_as_full}: an epoch is over when all windows are read": made * 0.4,
            f"{short_as_full}, and step 0 as no step: after it, one step is made": (
                (made - 1) * 0.4
            ),
            "the points are spread evenly over the axis: each belongs where its step "
            "is": torch.linspace(0.0, 4.0, 6),
            "the points are spread evenly over the axis, from the first to the last: "
            "each belongs where its step is": torch.linspace(0.4, 4.0, 6),
            "only whole epochs are counted: a part of an epoch counts as a part": (
                expected.floor()
            ),
            "the short last batch of an epoch is left out: 20 windows in batches of 8 "
            "are three steps, so round up": made / 2,
            "an epoch ends before the short last batch: 20 windows in batches of 8 are "
            "three steps, so round up": torch.tensor([0.4, 1.0, 1.4, 2.0, 4.0, 6.0]),
            "these are windows, not epochs: divide by `num_windows`": 20 * expected,
        },
        tolerance=1e-4,
    )
    _require_epochs_of_other_sizes(answer)


def _require_epochs_of_other_sizes(answer):
    require_value(
        "the list of epochs where 16 windows make two full batches of 8",
        answer([1, 2, 30], 16, 8),
        torch.tensor([1.0, 1.5, 15.5]),
        {
            "16 windows in batches of 8 are two steps, not three: no batch is empty": (
                torch.tensor([1.0, 1.0, 10.5])
            ),
        },
        tolerance=1e-4,
    )
    require_value(
        "the list of epochs where 6 windows make one batch, though 8 would fit in it,",
        answer([0, 4], 6, 8),
        torch.tensor([1.0, 5.0]),
        {},
        tolerance=1e-4,
    )


@check
def window_losses(answer):
    model = small_model(dropout=0.5)
    inputs, targets = small_batch()  # (4, 8)
    with torch.no_grad():
        logits = model.eval()(inputs)
    model.train()
    modes = []
    hook = model.register_forward_hook(lambda module, *_: modes.append(module.training))
    losses, is_tracking = call_with_gradients(
        answer, model, inputs.clone(), targets.clone()
    )
    hook.remove()
    require(bool(modes), "the model was never called: the losses come from its logits")
    require(
        not any(modes),
        "the model is in train mode while you look at it: dropout makes the losses "
        "random",
    )
    require(
        model.training, "the model stays in eval mode: put back the mode it came in"
    )
    require(
        not getattr(losses, "requires_grad", False),
        "gradients are tracked: the model is looked at and not trained",
    )
    require(
        is_tracking,
        "gradients stay switched off after the call, for everything: `torch.no_grad()` "
        "with `with` ends with its block",
    )
    require(
        all(parameter.requires_grad for parameter in model.parameters()),
        "the parameters stay without gradients, and nobody can train the model any "
        "more: leave their `requires_grad` alone",
    )
    _require_a_loss_for_each_window(losses, logits, targets)
    model.eval()
    with torch.enable_grad():
        answer(model, inputs, targets)
    require(not model.training, "a model in eval mode comes back in train mode")


def _require_a_loss_for_each_window(losses, logits, targets):
    by_token = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    by_shape = {
        (): "one mean comes back for all windows together: `reduction='none'` keeps "
        "the losses apart",
        (8,): "one loss comes back for each place in a window: take the mean along the "
        "T targets, axis 1",
        (4, 8): "one loss comes back for each target: take the mean over each window",
        (32,): "one loss comes back for each target: take the mean over each window",
    }
    shape = tuple(torch.as_tensor(losses).shape) if losses is not None else None
    require(shape not in by_shape, by_shape.get(shape, ""))
    require(
        losses is None or isinstance(losses, torch.Tensor),
        f"a tensor should come back, not {type(losses).__name__}",
    )
    moved = logits.reshape(4, -1, 8)  # cuts across the vocabulary; not a transpose
    require_value(
        "the losses of the windows",
        losses,
        by_token.mean(1),
        {
            "the losses of a window are summed up: take their mean": by_token.sum(1),
            "only the last target of each window is scored": by_token[:, -1],
            "the logits are reshaped where two axes should change places: "
            "`transpose(1, 2)` brings the vocabulary second": (
                F.cross_entropy(moved, targets, reduction="none").mean(1)
            ),
            "the targets of one window are mixed with those of others: the rows of "
            "`flatten` come window by window, (W, T)": (
                by_token.flatten().view(8, 4).mean(0)
            ),
        },
    )
