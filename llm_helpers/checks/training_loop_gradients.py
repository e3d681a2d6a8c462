"""What the checks of lesson 02 share: the loss, its gradient, zeroed gradients."""

import torch
import torch.nn.functional as F

from llm_helpers.checks.specimens import small_batch, small_model, weights_of
from llm_helpers.checks.verdict import require_value


def loss_of(model, inputs, targets):
    """The mean cross entropy of a batch, with gradients."""
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def gradient_of(model, inputs, targets):
    """The gradient of a batch's loss in all parameters, in one row."""
    model.zero_grad()
    loss_of(model, inputs, targets).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def require_gradients_are_zeroed(step):
    """A second step, from the same weights, is as long as the first."""
    lengths = []
    model = small_model()
    start = model.state_dict()
    start = {name: tensor.clone() for name, tensor in start.items()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        model.load_state_dict(start)
        before = weights_of(model)
        step(model, optimizer, *small_batch())
        lengths.append((weights_of(model) - before).norm())
    require_value(
        "the length of the second step, from the same weights and batch,",
        lengths[1] / lengths[0],
        torch.tensor(1.0),
        {"gradients are never zeroed: the second step still holds the first's": 2.0},
        tolerance=1e-3,
    )
