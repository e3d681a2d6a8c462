"""Check of the exercise of lesson 03 that puts a snapshot back into a run."""

import copy

import torch

from llm_helpers.checks.checkpoint_runs import (
    frozen,
    new_run,
    same,
    step,
    trained_run,
)
from llm_helpers.checks.verdict import CheckError, check, require


@check
def restore(answer):
    for lr in (None, 0.25):
        _require_restored(answer, lr)
    _require_rates(answer)
    for lr in (None, 0.25):
        _require_settings(answer, lr)
        _require_reusable(answer, lr)


def _require_restored(answer, lr):
    saved, model, optimizer = _restored(answer, lr)
    where = "" if lr is None else f"with lr={lr} "
    require(
        same(model.state_dict(), saved["model"]),
        f"{where}the weights are not those of the snapshot: `model.load_state_dict` "
        "puts them back, buffers too",
    )
    state = optimizer.state_dict()["state"]
    require(
        bool(state),
        f"{where}the optimizer's state is not restored: AdamW would go on with empty "
        "moments, so give it `load_state_dict` as well",
    )
    require(
        same(state, saved["optimizer"]["state"]),
        f"{where}the optimizer's moments or counters are not those of the snapshot",
    )
    require(
        torch.equal(torch.get_rng_state(), saved["rng"]),
        f"{where}the random generator is not put back: give `torch.set_rng_state` the "
        "saved state",
    )


def _restored(answer, lr):
    """A snapshot, and a new run into which the answer has put it."""
    model, optimizer = trained_run()
    saved = frozen(model, optimizer)
    torch.manual_seed(5)  # as in a new process
    model, optimizer = new_run(lr=0.5, weight_decay=0.01)
    settings = {} if lr is None else {"lr": lr}
    answer(model, optimizer, copy.deepcopy(saved), **settings)
    return saved, model, optimizer


def _require_rates(answer):
    rates_for = {None: [0.1, 0.2], 0.25: [0.25, 0.25], 0.0: [0.0, 0.0]}
    for lr, right in rates_for.items():
        _, _, optimizer = _restored(answer, lr)
        rates = [group["lr"] for group in optimizer.param_groups]
        if rates == right:
            continue
        require(
            not (lr == 0.0 and rates == [0.1, 0.2]),
            "lr=0.0 is taken for no rate: ask `is not None`, as 0 counts as false",
        )
        require(
            rates != [0.1, 0.2],
            "`lr` has no effect: loading the optimizer brings the saved rate back, so "
            "set yours afterwards",
        )
        require(
            rates[0] != lr or rates[1] not in (0.2, 1.0),
            "only the first parameter group gets `lr`: set it in all of "
            "`optimizer.param_groups`",
        )
        why = ": without `lr` the saved rates come back" if lr is None else ""
        raise CheckError(f"with lr={lr} the rates should be {right}, not {rates}{why}")


def _require_settings(answer, lr):
    """The groups are the saved ones, but for the learning rate."""
    saved, _, optimizer = _restored(answer, lr)
    for group, right in zip(
        optimizer.state_dict()["param_groups"],
        saved["optimizer"]["param_groups"],
        strict=True,
    ):
        for name in right.keys() - {"lr"}:
            require(
                name in group and same(group[name], right[name]),
                f"with lr={lr} `{name}` is {group.get(name)} in the optimizer's "
                f"groups, and {right[name]} in the saved ones: load its whole state "
                "dict, and change the learning rate only",
            )


def _require_reusable(answer, lr):
    """Neither restoring nor what the run does afterwards changes the snapshot."""
    model, optimizer = trained_run()
    saved = frozen(model, optimizer)
    given = copy.deepcopy(saved)
    answer(model, optimizer, given, lr=lr)
    require(
        same(given, saved),
        "restoring changes `saved` itself: what was saved must stay, its learning rate "
        "too",
    )
    step(model, optimizer)
    require(
        same(given["model"], saved["model"]),
        "the weights in `saved` change when the run goes on: they have become the "
        "model's own tensors, `model.load_state_dict` would copy them",
    )
    require(
        same(given["optimizer"], saved["optimizer"]),
        "the moments in `saved` change when the run goes on: the optimizer's "
        "`load_state_dict` keeps the very tensors it is given, so give it a deep copy",
    )
