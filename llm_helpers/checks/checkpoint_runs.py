"""The small runs whose state the checks of lesson 03 keep, restore and compare."""

import copy

import torch
from torch import nn


def new_run(lr, weight_decay):
    """A layer, and a normalisation with buffers at twice the learning rate; AdamW."""
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    groups = [
        {"params": model[0].parameters()},
        {"params": model[1].parameters(), "lr": 2 * lr},
    ]
    return model, torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay)


def trained_run():
    model, optimizer = new_run(lr=0.1, weight_decay=0.3)
    step(model, optimizer)
    return model, optimizer


def mixed_model():
    """One more layer, in bfloat16."""
    model, _ = new_run(lr=0.1, weight_decay=0.3)
    return model.append(nn.Linear(3, 2).bfloat16())


def step(model, optimizer):
    """A step on made-up gradients that moves all weights, moments and buffers."""
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for buffer in model.buffers():
        buffer += 1


def frozen(model, optimizer):
    """What a snapshot should hold, as a copy."""
    return copy.deepcopy(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "rng": torch.get_rng_state(),
        }
    )


def same(one, other):
    """Whether two nests of dicts, lists, tensors and plain values are equal."""
    if isinstance(other, torch.Tensor):
        return isinstance(one, torch.Tensor) and torch.equal(one, other)
    if isinstance(other, dict):
        alike = isinstance(one, dict) and one.keys() == other.keys()
        return alike and all(same(one[key], other[key]) for key in other)
    if isinstance(other, list | tuple):
        alike = isinstance(one, list | tuple) and len(one) == len(other)
        return alike and all(map(same, one, other))
    return one == other
