"""Check of lesson 07's step in several processes, which threads play here."""

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from llm_helpers.checks.processes import run_processes
from llm_helpers.checks.scaling_up_pieces import (
    RATE,
    batch_of,
    loss_and_gradient,
    mean_of,
    require_float,
    require_gradient,
)
from llm_helpers.checks.specimens import small_model, weights_of
from llm_helpers.checks.verdict import check, require, require_value


@dataclass
class _Process:
    """One rank: its model, and what the answer has done with it."""

    rank: int
    model: torch.nn.Module = field(default_factory=small_model)
    rows: list[int] = field(default_factory=list)
    calls: int = 0  # of all_reduce
    steps: int = 0
    loss: float | None = None

    def note_rows(self, given, inputs):
        """Which rows of the batch the model is asked about; -1 for one of no batch."""
        for row in given:
            found = (inputs == row).all(dim=1).nonzero().flatten().tolist()
            self.rows.append(found[0] if found else -1)


@check
def parallel_step(answer):
    """Even rows, old gradients, uneven rows, rows that do not count, and no rows.

    All with plain SGD, which shows the gradient; then with AdamW, where a mean of the
    weights after the step is not what a mean of the gradients before it gives.
    """
    even, uneven = batch_of(4), batch_of(5, [(0, 2, 8), (1, 5, 8), (3, 1, 8)])
    _require_parallel(answer, *even, 2)
    _require_parallel(answer, *even, 2, old_gradient=3.0)
    _require_parallel(answer, *even, 1)
    _require_parallel(answer, *uneven, 3)
    _require_parallel(answer, *batch_of(2, [(1, 0, 8)]), 2)
    _require_parallel(answer, *batch_of(2), 3)
    _require_parallel(answer, *batch_of(5), 4)
    _require_adamw(answer, *uneven, 3)


def _require_parallel(answer, inputs, targets, num_processes, old_gradient=None):
    processes = [_Process(rank) for rank in range(num_processes)]
    before = weights_of(processes[0].model)
    for process in processes:
        _prepare(process, inputs, old_gradient)

    _play(answer, processes, inputs, targets, torch.optim.SGD, RATE)
    _require_rows_are_shared(processes, targets)
    _require_equal_models(processes, before)
    parts = [(inputs[p.rows], targets[p.rows]) for p in processes]
    gradient = (before - weights_of(processes[0].model)) / RATE
    right, wrong = _shared_means(inputs, targets, parts)
    if old_gradient is not None:
        require(
            torch.allclose(gradient, right[1], atol=1e-4),
            "gradients are never zeroed: what an earlier step left is added",
        )
    mistakes = {f"the gradient is wrong: {s}": value for s, (_, value) in wrong.items()}
    require_gradient(gradient, right[1], mistakes)
    _require_shared_loss([process.loss for process in processes], right, wrong)


def _play(answer, processes, inputs, targets, optimizer_class, rate):
    """One step of all processes at once."""

    def work(rank, add_up):
        process = processes[rank]
        optimizer = optimizer_class(process.model.parameters(), lr=rate)

        def count_step(*_):
            process.steps += 1

        def all_reduce(tensor):
            process.calls += 1
            add_up(tensor)

        optimizer.register_step_post_hook(count_step)
        given = inputs.clone(), targets.clone(), rank, len(processes), all_reduce
        process.loss = answer(process.model, optimizer, *given)

    run_processes(len(processes), work)


def _require_adamw(answer, inputs, targets, num_processes):
    """Weights as one process has them; those with a tiny gradient may scatter."""
    processes = [_Process(rank) for rank in range(num_processes)]
    _play(answer, processes, inputs, targets, torch.optim.AdamW, 0.01)
    alone = small_model()
    loss = F.cross_entropy(alone(inputs).flatten(0, 1), targets.flatten())
    loss.backward()
    torch.optim.AdamW(alone.parameters(), lr=0.01).step()
    gap = (weights_of(processes[0].model) - weights_of(alone)).abs().mean().item()
    require(
        gap < 1e-4,
        "with AdamW the step is not that of one process: average the gradients before "
        "`optimizer.step()`, not the weights after it",
    )


def _prepare(process, inputs, old_gradient):
    process.model.register_forward_pre_hook(
        lambda _, given: process.note_rows(given[0], inputs)
    )
    if old_gradient is not None:
        for parameter in process.model.parameters():
            parameter.grad = torch.full_like(parameter, old_gradient)


def _require_rows_are_shared(processes, targets):
    """A row of which no target counts may go unread: nothing would come of it."""
    num_rows = len(targets)
    read = sorted(row for process in processes for row in process.rows)
    shares = [sorted(process.rows) for process in processes]
    case = f"of {num_rows} rows in {len(processes)} processes"
    require(bool(read), "the model was never called: the losses come from its logits")
    require(
        len(processes) == 1 or any(share != [*range(num_rows)] for share in shares),
        "every process reads the whole batch, so nothing is gained: each reads its "
        "own rows",
    )
    require(
        -1 not in read,
        f"{case} some are cut or filled up: a process reads whole rows of the batch",
    )
    needed = (targets != -100).any(dim=1).nonzero().flatten().tolist()
    missing = sorted(set(needed) - set(read))
    require(
        not missing,
        f"{case} number {_listed(missing)} is read by no process: ranks count from 0, "
        "and where rows do not divide evenly some processes read one more",
    )
    double = sorted({row for row in read if read.count(row) > 1})
    require(
        not double,
        f"{case} number {_listed(double)} is read more than once: it would count "
        "twice in the gradient",
    )
    sizes = [len(share) for share in shares]
    require(
        max(sizes) - min(sizes) <= 1,
        f"{case} they read {_listed(sizes)}: the numbers may differ by one, for all "
        "wait for the slowest",
    )


def _listed(numbers):
    return ", ".join(map(str, numbers))


def _require_equal_models(processes, before):
    require(
        all(process.steps <= 1 for process in processes),
        "a process makes more than one step: call `optimizer.step()` once, after all "
        "gradients have gone through `all_reduce`",
    )
    weights = [weights_of(process.model) for process in processes]
    require(
        not any(torch.isnan(w).any() for w in weights),
        "the weights are nan: a process without a target that counts has no mean, so "
        "divide a sum by the tokens of the whole batch",
    )
    require(
        len(processes) == 1 or any(process.calls for process in processes),
        "`all_reduce` is never called: each process steps by the gradient of its own "
        "rows, and the models drift apart",
    )
    require(
        not all(torch.equal(w, before) for w in weights),
        "no weight has moved: `optimizer.step()` is missing or finds no gradients "
        "(`all_reduce` works in place and returns nothing)",
    )
    require(
        all(torch.allclose(w, weights[0], atol=1e-6) for w in weights),
        "after the step the models differ: hand every parameter's `.grad` itself to "
        "`all_reduce`, after `backward` and before `optimizer.step()`, and every "
        "process makes the step",
    )


def _shared_means(inputs, targets, parts):
    """The right (loss, gradient), and for each sentence those of a mistake."""
    right, n = loss_and_gradient(inputs, targets), len(parts)
    results = [loss_and_gradient(*part) for part in parts]
    share = (targets != -100).sum().item() / targets.numel()
    with_any = [(t != -100).any().item() for _, t in parts]
    return right, {
        "it is summed over processes where it should be averaged, so it is several "
        "times too large": _times(right, n),
        "it is divided by the number of processes once too often": _times(right, 1 / n),
        "it is the mean of the processes' means: where one has more tokens that count "
        "than another, divide sums by the tokens of the whole batch": (
            mean_of(results, [1 / n] * n)
        ),
        "it is the mean of the means of those processes that have tokens: divide sums "
        "by the tokens of the whole batch": (
            mean_of(results, [has / sum(with_any) for has in with_any])
        ),
        "it is the sum of the processes' means: divide sums by the tokens of the whole "
        "batch": mean_of(results, [1] * n),
        "each process is weighed with its rows: only targets that are not -100 count": (
            mean_of(results, [len(rows) / len(inputs) for rows, _ in parts])
        ),
        "the sum is divided by all targets: only those that are not -100 count": (
            _times(right, share)
        ),
        "the sum over tokens is never divided: divide by the tokens of the whole "
        "batch": loss_and_gradient(inputs, targets, "sum"),
    }


def _times(pair, factor):
    return pair[0] * factor, pair[1] * factor


def _require_shared_loss(losses, right, wrong):
    for loss in losses:
        require(loss is not None, "the loss is None: is a `return` missing?")
        require_float(loss)
    require(
        not any(map(math.isnan, losses)),
        "the loss is nan: a process without a target that counts has no mean",
    )
    require(
        max(losses) - min(losses) < 1e-5,
        "the processes return different losses, each that of its own rows: the loss "
        "has to go through `all_reduce` too",
    )
    mistakes = {f"the loss is wrong: {s}": value for s, (value, _) in wrong.items()}
    require_value("the loss that comes back", losses[0], right[0], mistakes)
