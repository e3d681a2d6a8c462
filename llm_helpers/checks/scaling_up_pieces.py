"""Check of lesson 07's step in pieces; `mean_of` serves that in processes too."""

import math
import weakref

import torch
import torch.nn.functional as F

from llm_helpers.checks.specimens import small_batch, small_model, weights_of
from llm_helpers.checks.verdict import CheckError, check, require, require_value

RATE = 0.5  # of plain SGD: the change of the weights, divided by it, is the gradient


def batch_of(num_rows, ignored=()):
    """(inputs, targets) of different rows; each (row, first, last) does not count."""
    inputs, targets = (tensor.clone() for tensor in small_batch(num_rows, seed=7))
    inputs[:, 0] = torch.arange(num_rows)
    for row, first, last in ignored:
        targets[row, first:last] = -100
    return inputs, targets


def loss_and_gradient(inputs, targets, reduction="mean"):
    """The loss of rows as a float and its gradient, in one row; nan if none counts."""
    model = small_model()
    loss = F.cross_entropy(
        model(inputs).flatten(0, 1), targets.flatten(), reduction=reduction
    )
    loss.backward()
    gradients = [p.grad.flatten() for p in model.parameters()]
    return loss.item(), torch.cat(gradients)


def require_float(loss):
    require(
        isinstance(loss, float),
        f"the loss should come back as a float, not {type(loss).__name__}: `.item()` "
        "gives the number without the graph behind it",
    )


@check
def accumulated_step(answer):
    """Equal pieces, ragged ones with ignored targets, and a piece that is empty."""
    inputs, targets = batch_of(4)
    _require_accumulated(answer, inputs, targets, [2, 2])
    _require_accumulated(answer, inputs, targets, [1, 3])
    _require_accumulated(answer, *batch_of(5, [(0, 3, 8), (4, 1, 8)]), [2, 2, 1])
    _require_accumulated(answer, *batch_of(3, [(1, 0, 8), (2, 4, 8)]), [1, 1, 1])


def _require_accumulated(answer, inputs, targets, sizes):
    pieces = list(zip(inputs.split(sizes), targets.split(sizes)))
    model = small_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    for parameter in model.parameters():  # what an earlier step has left
        parameter.grad = torch.ones_like(parameter)
    steps, order = [], []
    optimizer.register_step_post_hook(lambda *_: steps.append(1))
    model.register_forward_hook(
        lambda _, given, logits: _note(order, len(given[0]), logits)
    )
    activations = _Activations(model)
    before = weights_of(model)
    with activations.watched():
        loss = answer(model, optimizer, [(x.clone(), y.clone()) for x, y in pieces])
    _require_pieces(order, max(sizes))
    activations.require_gone()
    require(len(steps) > 0, "no step is made: call `optimizer.step()` after the loop")
    require(
        len(steps) == 1,
        f"{len(steps)} steps are made where one is asked for: call `optimizer.step()` "
        "once, after all pieces",
    )
    right, wrong = _means(pieces)
    _require_mean_gradient((before - weights_of(model)) / RATE, right, wrong)
    require_float(loss)
    _require_mean_loss(loss, right, wrong, len(pieces))


def _note(order, rows, logits):
    """Write down that rows went forward with gradients, and when they come back."""
    if logits.requires_grad:
        order.append(("forward", rows))
        logits.register_hook(lambda _: order.append(("backward", rows)))


class _Activations:
    """What a model keeps for the backward pass, and the mode in which it is called."""

    def __init__(self, model):
        self.model = model
        self.is_inside = False
        self.kept = []  # weak references
        self.left = []  # how many are alive when the model is called, call by call
        self.modes = []
        model.register_forward_pre_hook(self._enter)
        model.register_forward_hook(self._leave)

    def watched(self):
        return torch.autograd.graph.saved_tensors_hooks(self._pack, lambda box: box.it)

    def _enter(self, *_):
        self.left.append(sum(kept() is not None for kept in self.kept))
        self.modes.append(self.model.training)
        self.is_inside = True

    def _leave(self, *_):
        self.is_inside = False

    def _pack(self, tensor):
        box = _Box(tensor.detach())
        if self.is_inside:
            self.kept.append(weakref.ref(box))
        return box

    def require_gone(self):
        """At the second call, before which the first piece has gone backward."""
        require(
            not any(self.left[:2]),
            "the activations of the first piece are still there when the second comes: "
            "call `backward` without `retain_graph`, which keeps them",
        )
        require(
            all(self.modes) and self.model.training,
            "the model is put into eval mode: a training step needs train mode, in "
            "which dropout works, so leave the mode as it is",
        )


class _Box:
    def __init__(self, tensor):
        self.it = tensor


def _require_pieces(order, largest):
    """No piece is larger than the largest; the first comes back before the next goes.

    All pieces of the first case count, so none may be left out there.
    """
    require(
        bool(order),
        "no logits with gradients are asked of the model: call it outside of "
        "`torch.no_grad()`",
    )
    require(
        max(rows for _, rows in order) <= largest,
        "the pieces are joined to one batch, so the activations of all are in memory "
        "at once: send one piece at a time through the model",
    )
    passes = [name for name, _ in order]
    require("backward" in passes, "`backward` is never called: there are no gradients")
    require(
        passes[:2] == ["forward", "backward"],
        "the second piece goes forward before the first has gone backward, so the "
        "activations of both are in memory: call `backward` inside the loop",
    )


def require_gradient(gradient, right, mistakes):
    """As `require_value`; numbers by the thousand are told by their length."""
    if torch.allclose(gradient, right, rtol=1e-5, atol=1e-5):
        return
    for sentence, wrong in mistakes.items():
        require(not torch.allclose(gradient, wrong, rtol=1e-5, atol=1e-5), sentence)
    cosine = F.cosine_similarity(gradient, right, dim=0)
    raise CheckError(
        "the step is not that of the whole batch: its gradient should be "
        f"{right.norm():.4f} long, not {gradient.norm():.4f}, and the cosine of the "
        f"angle between the two is {cosine:.4f}"
    )


def mean_of(results, weights):
    """A weighted sum of losses, and of their gradients; results of no token are nan."""
    terms = [
        (weight * loss, weight * gradient)
        for weight, (loss, gradient) in zip(weights, results)
        if weight and not math.isnan(loss)
    ]
    losses, gradients = zip(*terms)
    return sum(losses), sum(gradients)


def _means(pieces):
    """The right (loss, gradient), and for each sentence those of a mistake."""
    results = [loss_and_gradient(*piece) for piece in pieces]
    counted = [(targets != -100).sum().item() for _, targets in pieces]
    places = sum(targets.numel() for _, targets in pieces)
    shares = [n / sum(counted) for n in counted]
    nothing = [0] * (len(pieces) - 1)
    return mean_of(results, shares), {
        "the pieces' mean losses are added up and not divided, so the sum is several "
        "times too large: weigh each piece with its share of the tokens": (
            mean_of(results, [1] * len(pieces))
        ),
        "the mean is over pieces, not tokens: a piece with fewer tokens that count "
        "counts as much as a full one": (
            mean_of(results, [1 / len(pieces)] * len(pieces))
        ),
        "each piece is weighed with all its targets: only those that are not -100 "
        "count": mean_of(results, [y.numel() / places for _, y in pieces]),
        "the sum is divided by all targets: only those that are not -100 count": (
            mean_of(results, [n / places for n in counted])
        ),
        "the sum over tokens is never divided: divide by the tokens of all pieces": (
            mean_of(results, counted)
        ),
        "only the last piece is left": mean_of(results, [*nothing, 1]),
        "only the last piece's share is left": mean_of(results, [*nothing, shares[-1]]),
    }


def _require_mean_gradient(gradient, right, wrong):
    require(
        not torch.isnan(gradient).any(),
        "the weights are nan: a piece without a target that counts has no mean, so "
        "divide a sum, or leave the piece out",
    )
    mistakes = {
        f"{sentence}: `zero_grad` inside the loop wipes out those before"
        if "last piece" in sentence
        else sentence: value
        for sentence, (_, value) in wrong.items()
    }
    mistakes["gradients are never zeroed: what an earlier step left is added"] = (
        right[1] + 1
    )
    require_gradient(gradient, right[1], mistakes)


def _require_mean_loss(loss, right, wrong, num_pieces):
    require(
        not math.isnan(loss),
        "the loss is nan: a piece without a target that counts has no mean",
    )
    mistakes = {f"the loss is wrong: {s}": value for s, (value, _) in wrong.items()}
    mistakes["the loss is wrong: it is divided by the pieces once too often"] = (
        right[0] / num_pieces
    )
    require_value("the loss that comes back", loss, right[0], mistakes)
