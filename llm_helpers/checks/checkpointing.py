"""Checks of the exercises of lesson 03: what a checkpoint holds.

Those of the way back are in `restoring`, of writing a file in `checkpoint_files`, of
finding one in `newest_checkpoint`, and of going on in `resuming`.
"""

import copy
import io

import torch
from torch import nn

from llm_helpers.checks.checkpoint_files import replace_file
from llm_helpers.checks.checkpoint_runs import (
    frozen,
    mixed_model,
    same,
    step,
    trained_run,
)
from llm_helpers.checks.newest_checkpoint import newest_complete
from llm_helpers.checks.restoring import restore
from llm_helpers.checks.resuming import remaining_batches, step_length
from llm_helpers.checks.verdict import CheckError, check, require, require_value

__all__ = [
    "checkpoint_bytes",
    "newest_complete",
    "remaining_batches",
    "replace_file",
    "restore",
    "snapshot",
    "step_length",
]


@check
def checkpoint_bytes(answer):
    _require_bytes(answer, "before the first step", "AdamW", num_steps=0)
    _require_bytes(answer, "after a step of AdamW", "AdamW")
    _require_bytes(answer, "after a step of SGD without momentum", "SGD")
    _require_bytes(answer, "after a step of SGD with momentum", "SGD", momentum=0.9)
    _require_bytes(answer, "after a step of RMSprop", "RMSprop")


def _require_bytes(answer, when, kind, num_steps=1, **settings):
    model = mixed_model()
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.1, **settings)
    for _ in range(num_steps):
        step(model, optimizer)
    weights = list(model.state_dict().values())
    state = [t for s in optimizer.state_dict()["state"].values() for t in s.values()]
    size = answer(model, optimizer)
    require(
        not (isinstance(size, int) and size > 10 * _num_bytes(weights + state)),
        "that is the size of a file, with its headers: add up the bytes of the tensors",
    )
    require_value(
        f"the size {when}, in bytes,",
        size,
        _num_bytes(weights + state),
        _wrong_sizes(list(model.parameters()), weights, state),
        tolerance=0,
    )


def _wrong_sizes(parameters, weights, state):
    """What the common mistakes count."""
    right = _num_bytes(weights + state)
    counters = _num_bytes(tensor for tensor in state if tensor.dim() == 0)
    num_numbers = sum(tensor.numel() for tensor in weights + state)
    return {
        "only the weights are counted: the optimizer's state dict holds tensors too, "
        'under `"state"`': _num_bytes(weights),
        "only the optimizer's state is counted, without the weights": right
        - _num_bytes(weights),
        "buffers are missing: `parameters()` leaves them out, `state_dict()` does "
        "not": _num_bytes([*parameters, *state]),
        "the step counters are missing: each parameter has one, a tensor of 4 bytes": (
            right - counters
        ),
        "moments are missing: another optimizer calls them by other names, so add up "
        'all that stands under `"state"`': _num_bytes(weights) + counters,
        "numbers are counted, not bytes: multiply by `element_size()`": num_numbers,
        "every number is taken for 4 bytes: `element_size()` knows how many it has": (
            4 * num_numbers
        ),
        "moments are counted that are not there: before the first step, and in plain "
        "SGD, the state is empty, so look at what the state dict holds": (
            _num_bytes(weights) + 2 * _num_bytes(parameters)
        ),
    }


def _num_bytes(tensors):
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@check
def snapshot(answer):
    model, optimizer = trained_run()
    model[1].eval()
    before, around = frozen(model, optimizer), _surroundings(model)
    saved = answer(model, optimizer)
    require(
        torch.equal(torch.get_rng_state(), before["rng"]),
        "taking the snapshot moves the random generator: `torch.get_rng_state()` only "
        "looks, `torch.seed()` and `manual_seed` do not",
    )
    _require_undisturbed(_surroundings(model), around)
    require(isinstance(saved, dict), f"a dict should come back, not {_kind(saved)}")
    _require_plain(saved)
    _require_complete(saved, before)
    step(model, optimizer)
    require(
        same(saved["model"], before["model"]),
        "the weights in the snapshot change when the training goes on: `state_dict()` "
        "hands out the living tensors, so copy these, not only the dict",
    )
    require(
        same(saved["optimizer"], before["optimizer"]),
        "the optimizer's moments or counters in the snapshot change when the training "
        "goes on: its `state_dict()` hands out living tensors too",
    )


def _surroundings(model):
    """What a snapshot does not hold, and must not change either."""
    modes = [module.training for module in model.modules()]
    gradients = [copy.deepcopy(parameter.grad) for parameter in model.parameters()]
    return modes, gradients


def _require_undisturbed(after, before):
    require(
        after[0] == before[0],
        "taking the snapshot changes the mode of the model: leave out `eval()` and "
        "`train()`, as the run would go on with other layers switched on",
    )
    require(
        same(after[1], before[1]),
        "taking the snapshot changes or clears the gradients: leave out `zero_grad`, "
        "as the next step may still need them",
    )


def _require_complete(saved, before):
    require(
        saved["model"].keys() == before["model"].keys(),
        "the weights in the snapshot have other names than in `model.state_dict()`, "
        "which also holds what `parameters()` leaves out",
    )
    for part in ("model", "optimizer"):
        require(
            same(saved[part], before[part]),
            f'`"{part}"` is not what its `state_dict()` holds at that moment',
        )
    require(
        same(saved["rng"], before["rng"]),
        '`"rng"` should hold what `torch.get_rng_state()` gives, the state itself and '
        "not a seed",
    )


def _require_plain(saved):
    for part in ("model", "optimizer", "rng"):
        require(part in saved, f'the dict has no entry `"{part}"`')
    for part, kind in (("model", nn.Module), ("optimizer", torch.optim.Optimizer)):
        require(
            not isinstance(saved[part], kind),
            f'`"{part}"` holds the object itself: loading it would run code from the '
            "file, so keep its `state_dict()`",
        )
    file = io.BytesIO()
    torch.save(saved, file)
    file.seek(0)
    try:
        torch.load(file, weights_only=True)
    except Exception as error:
        raise CheckError(
            "the saved snapshot does not load with `weights_only=True`: keep tensors, "
            "dicts, lists and plain values only"
        ) from error
    for part in ("model", "optimizer"):
        require(
            isinstance(saved[part], dict),
            f'`"{part}"` should be a state dict, not {_kind(saved[part])}',
        )
    require(
        {"state", "param_groups"} <= set(saved["optimizer"]),
        '`"optimizer"` should be the whole `optimizer.state_dict()`, with its groups',
    )


def _kind(value):
    return type(value).__name__
