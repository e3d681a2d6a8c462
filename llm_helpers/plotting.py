"""Loss curves with Matplotlib: takes Axes, returns Axes, never shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_losses(
    epochs_seen: Sequence[float],
    tokens_seen: Sequence[int],
    train_losses: Sequence[float],
    val_losses: Sequence[float],
    *,
    ax: Axes | None = None,
    floor: float | None = None,
) -> Axes:
    """Draw both losses over epochs (below) and tokens (above); mark the best point.

    Args:
        epochs_seen: epochs at each evaluation; tokens seen over tokens per epoch.
        tokens_seen: tokens at each evaluation.
        train_losses: nats per token.
        val_losses: nats per token.
        ax: where to draw; a new figure when None.
        floor: the least loss that any model can reach on new text, drawn as a line.

    Raises:
        ValueError: the lists are empty or differ in length.
    """
    lengths = [len(x) for x in (epochs_seen, tokens_seen, train_losses, val_losses)]
    if len(set(lengths)) > 1 or not lengths[0]:
        raise ValueError(
            f"the four lists have {lengths} entries; pass one of each per evaluation "
            "(a run without a validation loader has none)"
        )
    if ax is None:
        from matplotlib import pyplot as plt

        _, ax = plt.subplots(figsize=(7, 4), layout="constrained")
    ax.plot(epochs_seen, train_losses, color="C0", label="training")
    ax.plot(epochs_seen, val_losses, color="C1", linestyle="--", label="validation")
    best = min(range(len(val_losses)), key=val_losses.__getitem__)
    ax.plot(
        epochs_seen[best], val_losses[best], "o", color="C1", label="best validation"
    )
    if floor is not None:
        ax.axhline(floor, color="0.4", linestyle=":", label=f"floor, {floor:.3f}")
    ax.set_title(
        f"Validation loss is lowest after {epochs_seen[best]:.1f} epochs: "
        f"{val_losses[best]:.3f} nats"
    )
    ax.set_xlabel("epochs")
    ax.set_ylabel("cross entropy (nats per token)")
    ax.legend()
    _add_token_axis(ax, tokens_seen, train_losses)
    return ax


def _add_token_axis(ax: Axes, tokens_seen, train_losses) -> None:
    top = ax.twiny()
    top.plot(tokens_seen, train_losses, alpha=0)  # only to give the axis its scale
    top.set_xlabel("tokens seen")
