"""Does a saved state fit the model and the optimizer it is to go into?"""

from pathlib import Path

from torch import nn


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that belongs to another model."""


class DamagedCheckpointError(CheckpointError):
    """A checkpoint that cannot be read, whatever it is to go into."""


REMEDY = "continue from another checkpoint"


def check_model_state(state: dict, model: nn.Module, path: Path) -> None:
    """Same names and shapes; the series' `mask` buffers do not count."""
    expected = model.state_dict()
    missing = expected.keys() - state.keys()
    extra = {
        k for k in state.keys() - expected.keys() if not str(k).endswith("att.mask")
    }
    for names, fault in ((missing, "lacks"), (extra, "holds an unknown")):
        if names:
            raise CheckpointError(
                f"{path} belongs to another model: it {fault} {min(names)!r}; "
                "build the model with the settings of that run"
            )
    for name, tensor in expected.items():
        found = tuple(getattr(state[name], "shape", ()))
        if found != tuple(tensor.shape):
            raise CheckpointError(
                f"{path} belongs to another model: {name!r} has the shape {found} "
                f"there and {tuple(tensor.shape)} here; "
                "build the model with the settings of that run"
            )


def check_optimizer_state(state: dict, optimizer, path: Path) -> None:
    """Same kind of optimizer (by its settings) over parameters of the same shapes."""
    groups = optimizer.state_dict()["param_groups"]
    settings = [_kind_of_optimizer(group) for group in groups]
    sizes = [len(group["params"]) for group in groups]
    saved = state.get("param_groups")
    if not (
        isinstance(saved, list)
        and all(isinstance(group, dict) for group in saved)
        and isinstance(state.get("state"), dict)
    ):
        raise CheckpointError(f"{path} holds no optimizer state; {REMEDY}")
    if [_kind_of_optimizer(group) for group in saved] != settings:
        raise CheckpointError(
            f"{path} belongs to another type of optimizer than "
            f"{type(optimizer).__name__}; build the optimizer of that run"
        )
    shapes = [p.shape for group in optimizer.param_groups for p in group["params"]]
    moments = state["state"].items()
    if [len(group["params"]) for group in saved] != sizes or any(
        i not in range(len(shapes))
        or getattr(moment.get("exp_avg"), "shape", shapes[i]) != shapes[i]
        for i, moment in moments
    ):
        raise CheckpointError(
            f"{path} belongs to another model: its optimizer holds other parameters; "
            "build the model with the settings of that run"
        )


def _kind_of_optimizer(group: dict) -> tuple:
    """Adam and AdamW have the same settings and differ in one's value.

    A learning-rate schedule adds one entry, `initial_lr`, to any of them.
    """
    return sorted(group.keys() - {"initial_lr"}), group.get("decoupled_weight_decay")
