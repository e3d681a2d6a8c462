"""Checks of the exercises of lesson 03: what a checkpoint holds, and the way back.

Those of its files are in `checkpoint_files`, those of going on in `resuming`.
"""

import copy
import io

import torch
from torch import nn

from llm_helpers.checks.checkpoint_files import newest_complete, replace_file
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


def _require_bytes(answer, when, kind, num_steps=1, **settings):
    model = _mixed_model()
    optimizer = getattr(torch.optim, kind)(model.parameters(), lr=0.1, **settings)
    for _ in range(num_steps):
        _step(model, optimizer)
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
    model, optimizer = _trained_run()
    before = _frozen(model, optimizer)
    saved = answer(model, optimizer)
    require(
        torch.equal(torch.get_rng_state(), before["rng"]),
        "taking the snapshot moves the random generator: `torch.get_rng_state()` only "
        "looks, `torch.seed()` and `manual_seed` do not",
    )
    require(isinstance(saved, dict), f"a dict should come back, not {_kind(saved)}")
    _require_plain(saved)
    _require_complete(saved, before)
    _step(model, optimizer)
    require(
        _same(saved["model"], before["model"]),
        "the weights in the snapshot change when the training goes on: `state_dict()` "
        "hands out the living tensors, so copy these, not only the dict",
    )
    require(
        _same(saved["optimizer"], before["optimizer"]),
        "the optimizer's moments or counters in the snapshot change when the training "
        "goes on: its `state_dict()` hands out living tensors too",
    )


def _require_complete(saved, before):
    require(
        saved["model"].keys() == before["model"].keys(),
        "the weights in the snapshot have other names than in `model.state_dict()`, "
        "which also holds what `parameters()` leaves out",
    )
    for part in ("model", "optimizer"):
        require(
            _same(saved[part], before[part]),
            f'`"{part}"` is not what its `state_dict()` holds at that moment',
        )
    require(
        _same(saved["rng"], before["rng"]),
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


@check
def restore(answer):
    saved, model, optimizer = _restored(answer)
    require(
        _same(model.state_dict(), saved["model"]),
        "the weights are not those of the snapshot: `model.load_state_dict` puts them "
        "back, buffers too",
    )
    require(
        bool(optimizer.state_dict()["state"]),
        "the optimizer's state is not restored: AdamW would go on with empty moments, "
        "so give it `load_state_dict` as well",
    )
    require(
        _same(optimizer.state_dict()["state"], saved["optimizer"]["state"]),
        "the optimizer's moments or counters are not those of the snapshot",
    )
    require(
        torch.equal(torch.get_rng_state(), saved["rng"]),
        "the random generator is not put back: give `torch.set_rng_state` the saved "
        "state",
    )
    _require_rates(answer)
    _require_reusable(answer, lr=None)
    _require_reusable(answer, lr=0.25)


def _restored(answer, **settings):
    """A snapshot, and a new run into which the answer has put it."""
    model, optimizer = _trained_run()
    saved = _frozen(model, optimizer)
    torch.manual_seed(5)  # as in a new process
    model, optimizer = _new_run(lr=0.5)
    answer(model, optimizer, copy.deepcopy(saved), **settings)
    return saved, model, optimizer


def _require_rates(answer):
    for lr, saved_rates in ((None, [0.1, 0.2]), (0.25, [0.25, 0.25])):
        _, _, optimizer = _restored(answer, lr=lr)
        rates = [group["lr"] for group in optimizer.param_groups]
        if rates == saved_rates:
            continue
        require(
            rates != [0.1, 0.2],
            "`lr` has no effect: loading the optimizer brings the saved rate back, so "
            "set yours afterwards",
        )
        require(
            rates != [0.25, 0.2],
            "only the first parameter group gets `lr`: set it in all of "
            "`optimizer.param_groups`",
        )
        raise CheckError(f"with lr={lr} the rates are {rates}, not {saved_rates}")


def _require_reusable(answer, lr):
    """Neither restoring nor what the run does afterwards changes the snapshot."""
    model, optimizer = _trained_run()
    saved = _frozen(model, optimizer)
    given = copy.deepcopy(saved)
    answer(model, optimizer, given, lr=lr)
    require(
        _same(given, saved),
        "restoring changes `saved` itself: what was saved must stay, its learning rate "
        "too",
    )
    _step(model, optimizer)
    require(
        _same(given["model"], saved["model"]),
        "the weights in `saved` change when the run goes on: they have become the "
        "model's own tensors, `model.load_state_dict` would copy them",
    )
    require(
        _same(given["optimizer"], saved["optimizer"]),
        "the moments in `saved` change when the run goes on: the optimizer's "
        "`load_state_dict` keeps the very tensors it is given, so give it a deep copy",
    )


def _new_run(lr):
    """A layer, and a normalisation with buffers at twice the learning rate; AdamW."""
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    groups = [
        {"params": model[0].parameters()},
        {"params": model[1].parameters(), "lr": 2 * lr},
    ]
    return model, torch.optim.AdamW(groups, lr=lr)


def _trained_run():
    model, optimizer = _new_run(lr=0.1)
    _step(model, optimizer)
    return model, optimizer


def _mixed_model():
    """One more layer, in bfloat16."""
    model, _ = _new_run(lr=0.1)
    return model.append(nn.Linear(3, 2).bfloat16())


def _step(model, optimizer):
    """A step on made-up gradients that moves all weights, moments and buffers."""
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for buffer in model.buffers():
        buffer += 1


def _frozen(model, optimizer):
    """What a snapshot should hold, as a copy."""
    return copy.deepcopy(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "rng": torch.get_rng_state(),
        }
    )


def _same(one, other):
    """Whether two nests of dicts, lists, tensors and plain values are equal."""
    if isinstance(other, torch.Tensor):
        return isinstance(one, torch.Tensor) and torch.equal(one, other)
    if isinstance(other, dict):
        alike = isinstance(one, dict) and one.keys() == other.keys()
        return alike and all(_same(one[key], other[key]) for key in other)
    if isinstance(other, list | tuple):
        alike = isinstance(one, list | tuple) and len(one) == len(other)
        return alike and all(map(_same, one, other))
    return one == other


def _kind(value):
    return type(value).__name__
