"""Checks of the exercises of lesson 02; those of losses, the step and windows."""

import torch
import torch.nn.functional as F

from llm_helpers.checks.specimens import small_batch, small_model, weights_of
from llm_helpers.checks.training_loop_evaluation import calc_loss_loader, quiet_loader
from llm_helpers.checks.training_loop_gradients import (
    gradient_of,
    loss_of,
    require_gradients_are_zeroed,
)
from llm_helpers.checks.training_loop_steps import clipped_step, train
from llm_helpers.checks.verdict import check, require, require_value

__all__ = [
    "calc_loss_batch",
    "calc_loss_loader",
    "clipped_step",
    "quiet_loader",
    "train",
    "training_step",
    "window_moved_by",
]


@check
def calc_loss_batch(answer):
    model = small_model()
    inputs, targets = small_batch()
    logits = model(inputs).detach()
    modes = []
    hook = model.register_forward_hook(lambda module, *_: modes.append(module.training))
    loss = answer(inputs, targets, model, "cpu")
    hook.remove()
    require(
        isinstance(loss, torch.Tensor) and loss.requires_grad,
        "the loss cannot be differentiated: return the tensor itself, without "
        "`.item()` and outside of `torch.no_grad()`",
    )
    _require_mode_is_kept(model, modes)
    _require_loss(loss, logits, inputs, targets)
    _require_batch_is_moved(answer)


def _require_loss(loss, logits, inputs, targets):
    rows = logits.flatten(0, 1)
    probas = torch.softmax(rows, dim=-1)
    num_windows, num_tokens, num_scores = logits.shape
    require_value(
        "the loss",
        loss,
        F.cross_entropy(rows, targets.flatten()),
        {
            "the loss is a sum over tokens, not a mean: leave `reduction` as it is": (
                F.cross_entropy(rows, targets.flatten(), reduction="sum")
            ),
            "the targets are the inputs: the model is asked for the token it has just "
            "read, so pass `target_batch`": F.cross_entropy(rows, inputs.flatten()),
            "softmax is taken twice: `F.cross_entropy` wants logits, not "
            "probabilities": F.cross_entropy(probas, targets.flatten()),
            "the logits are reshaped over the wrong axis: `flatten(0, 1)` keeps the "
            "vocabulary last": F.cross_entropy(
                logits.transpose(0, 1).flatten(0, 1), targets.flatten()
            ),
            "`reshape` mixes positions and vocabulary: use `transpose(1, 2)` or "
            "flatten": F.cross_entropy(
                logits.reshape(num_windows, num_scores, num_tokens), targets
            ),
            "only the last position is scored: every position has a target": (
                F.cross_entropy(logits[:, -1], targets[:, -1])
            ),
        },
    )


def _require_batch_is_moved(answer):
    """Both tensors have to follow a model that is on another device, here "meta"."""
    sentence = (
        "the batch is not moved to `device`: both tensors have to be on the device of "
        "the model, so call `.to(device)` on each and keep what it returns"
    )
    model = small_model().to("meta").eval()
    seen = []
    model.register_forward_hook(
        lambda module, args, _: seen.append((args[0].device.type, module.training))
    )
    try:
        answer(*small_batch(), model, "meta")
    except NotImplementedError:
        pass  # a right answer may do what no tensor without numbers can
    except RuntimeError as error:
        require("device" not in str(error), sentence)
    require(all(device == "meta" for device, _ in seen), sentence)
    require(
        not any(training for _, training in seen) and not model.training,
        "the model is put in train mode: leave its mode as it is, since an evaluation "
        "calls this function too",
    )


def _require_mode_is_kept(model, modes):
    """The model was in train mode when it was given, in each pass, and still is."""
    require(
        all(modes) and model.training,
        "the model is put in eval mode, which trains it without dropout: leave its "
        "mode as it is",
    )


@check
def training_step(answer):
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, targets = small_batch()
    before = weights_of(model)
    expected_loss = loss_of(model, inputs, targets).item()
    modes = []
    hook = model.register_forward_hook(lambda module, *_: modes.append(module.training))
    loss = answer(model, optimizer, inputs, targets)
    hook.remove()
    require(
        isinstance(loss, float),
        f"the loss should come back as a float, not {type(loss).__name__}: `.item()` "
        "gives the number without the graph behind it",
    )
    _require_mode_is_kept(model, modes)
    _require_one_step(before, weights_of(model), inputs, targets)
    require_value(
        "the loss that comes back",
        loss,
        expected_loss,
        {
            "the loss that comes back was computed after the step: return that of the "
            "forward pass which the step was made from": loss_of(
                model, inputs, targets
            ).item()
        },
    )
    require(
        len(modes) <= 1,
        f"the model is called {len(modes)} times in one step: return the loss that "
        "`backward` was called on, since dropout makes that of another pass differ",
    )
    require_gradients_are_zeroed(answer)


def _require_one_step(before, after, inputs, targets):
    """One step of SGD at a rate of 0.1 leads from weights `before` to `after`."""
    require(
        not torch.equal(before, after),
        "no weight has moved: `optimizer.step()` is missing, or comes before "
        "`backward`, or `zero_grad` comes between the two",
    )
    model = small_model()
    gradient = gradient_of(model, inputs, targets)
    require_value(
        "the change of the weights",
        (before - after).norm() / gradient.norm(),
        torch.tensor(0.1),
        {"the optimizer makes two steps where one is asked for": 0.2},
        tolerance=1e-3,
    )


@check
def window_moved_by(answer):
    tokens = torch.arange(100, 112)
    for shift in (1, 0, 2):
        inputs, targets = answer(tokens, 5, shift)
        require_value("the inputs", inputs, tokens[:5], {})
        require_value(
            f"the targets for shift={shift}",
            targets,
            tokens[shift : shift + 5],
            {
                "targets are not moved by `shift`: they are always one ahead": (
                    tokens[1:6]
                ),
                "the targets are moved backwards: position i should ask for token "
                "i + shift": tokens.roll(shift)[:5],
                "targets are not moved at all: they equal the inputs": tokens[:5],
            },
        )
