"""Checks of lesson 02: the loss of a loader, and a loader that changes nothing."""

import torch
from torch.utils.data import DataLoader

from llm_helpers.checks.specimens import small_loader, small_model, small_windows
from llm_helpers.checks.training_loop_gradients import loss_of
from llm_helpers.checks.verdict import (
    CheckError,
    call_with_gradients,
    check,
    require,
    require_value,
)


@check
def calc_loss_loader(answer):
    model = small_model(dropout=0.5)
    loader = small_loader()  # batches of 2, 2 and 1 windows
    model.eval()
    with torch.no_grad():
        losses = [loss_of(model, *batch).item() for batch in loader]
    model.train()
    seen = []
    hook = model.register_forward_hook(
        lambda module, _, logits: seen.append((module.training, logits.requires_grad))
    )
    loss, gradients_are_on = call_with_gradients(answer, loader, model, "cpu")
    hook.remove()
    require(bool(seen), "the model was never called: the losses come from its logits")
    require(
        not any(training for training, _ in seen),
        "the model is left in train mode during evaluation: dropout makes the loss "
        "random, so call `model.eval()` first",
    )
    require(
        not any(graph for _, graph in seen),
        "gradients are tracked during evaluation: run it under `torch.no_grad()`",
    )
    require(
        gradients_are_on,
        "gradients stay switched off for everything that follows: use "
        "`with torch.no_grad():`",
    )
    require(isinstance(loss, float), "the mean should come back as a float")
    _require_mean(loss, losses)
    _require_mode_and_num_batches(answer, model, loader, losses)
    _require_more_batches_than_there_are(answer, model, loader, losses)
    _require_order_of_the_loader(answer, model)


def _require_mean(loss, losses):
    """Over all three batches, of 2, 2 and 1 windows."""
    require_value(
        "the mean loss",
        loss,
        (2 * losses[0] + 2 * losses[1] + losses[2]) / 5,
        {
            "the mean is over batches, not tokens: the short last batch counts as much "
            "as a full one, so weigh each batch with `target_batch.numel()`": (
                sum(losses) / 3
            ),
            "the losses are summed up and never divided": sum(losses),
            "only the first batch is counted: `return` stands inside the loop": (
                losses[0]
            ),
        },
    )


def _require_mode_and_num_batches(answer, model, loader, losses):
    require(
        model.training,
        "the model stays in eval mode: put back the mode it was in, or training goes "
        "on without dropout",
    )
    require_value(
        "the mean over num_batches=1",
        answer(loader, model, "cpu", num_batches=1),
        losses[0],
        {
            "`num_batches` is not looked at: stop after that many batches": (
                (2 * losses[0] + 2 * losses[1] + losses[2]) / 5
            ),
            "one batch too many is read: stop before batch number `num_batches`": (
                (losses[0] + losses[1]) / 2
            ),
            "the sum over a few batches is divided by the tokens of all: count the "
            "tokens of the batches that were read": losses[0] * 2 / 5,
        },
    )
    require(
        model.training,
        "the model stays in eval mode where `num_batches` is reached: put its mode "
        "back before each `return`, or leave the loop with `break`",
    )
    model.eval()
    answer(loader, model, "cpu")
    require(
        not model.training,
        "a model that was in eval mode comes back in train mode: remember "
        "`model.training` first and put that back",
    )


def _require_more_batches_than_there_are(answer, model, loader, losses):
    sentence = (
        "num_batches=9 fails on a loader of 3 batches: `num_batches` may be larger "
        "than the loader, so stop where either ends"
    )
    try:
        mean = answer(loader, model, "cpu", num_batches=9)
    except (StopIteration, IndexError):
        raise CheckError(sentence) from None
    total = 2 * losses[0] + 2 * losses[1] + losses[2]
    divided = (
        "the sum is divided by the tokens of `num_batches` batches, though the loader "
        "holds fewer: count what was read"
    )
    require_value(
        "the mean over num_batches=9, with a loader of 3 batches,",
        mean,
        total / 5,
        {divided: total / 18, "the sum is divided by `num_batches`": sum(losses) / 9},
    )


def _require_order_of_the_loader(answer, model):
    dataset = small_windows(5)
    model.eval()
    with torch.no_grad():
        in_order = loss_of(model, *dataset[:2])
        expected = loss_of(model, *dataset[[4, 2]])
    require_value(
        "the mean over num_batches=1 of a loader in another order",
        answer(DataLoader(dataset, 2, sampler=[4, 2, 0, 1, 3]), model, "cpu", 1),
        expected,
        {
            "the windows are taken from `data_loader.dataset`, in its order: go over "
            "the batches that the loader itself gives": in_order
        },
    )


@check
def quiet_loader(answer):
    dataset = small_windows(5)
    torch.rand(1)  # so that setting the check's own seed anew shows too
    state = torch.get_rng_state()
    loader = answer(dataset, 2)
    require(
        isinstance(loader, DataLoader),
        f"a DataLoader should come back, not {type(loader).__name__}",
    )
    require(
        torch.equal(state, torch.get_rng_state()),
        "making the loader changes the global generator: `torch.Generator()` needs no "
        "number from there, and no seed",
    )
    first, second = ([b[0] for b in loader] for _ in range(2))
    require(
        torch.equal(state, torch.get_rng_state()),
        "iterating draws from the global generator, so each look at the loss changes "
        "the training: give the loader `generator=torch.Generator()`",
    )
    require(
        all(torch.equal(a, b) for a, b in zip(first, second)),
        "the order changes from one pass to the next, so losses over a few batches "
        "do not compare: leave `shuffle` off",
    )
    sizes = [len(batch) for batch in first]
    require(
        sum(sizes) == 5,
        "the last windows are dropped: an evaluation counts every token, so leave "
        "`drop_last` off",
    )
    require(
        sizes == [2, 2, 1], f"the batches hold {sizes} windows instead of [2, 2, 1]"
    )
