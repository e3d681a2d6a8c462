"""Checks of lesson 07's counting: the operations of a token, the bytes of a process."""

from collections.abc import Mapping

import torch
from torch import nn

from llm_helpers.checks.verdict import CheckError, check, require, require_value
from llm_helpers.config import GPTConfig


def as_double(what, value):
    """In double precision, so that operations and bytes compare to the last one."""
    require(value is not None, f"{what} came back as None: is a `return` missing?")
    try:
        return torch.tensor(float(value), dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise CheckError(f"{what} should be a number, not {value!r}") from None


def as_count(what, value):
    """The same, but an integer where it is whole, so that it is shown as one."""
    number = as_double(what, value)
    is_whole = bool(number == number.round()) and bool(number.abs() < 2**53)
    return number.long() if is_whole else number


@check
def flops_per_token(answer):
    """A short window first; every size is another number, so that mix-ups show."""
    config = GPTConfig(
        embedding_dim=48,
        num_layers=5,
        num_heads=3,
        context_len=32,
        vocabulary_size=1000,
    )
    for length in (20, 32, 0):
        _require_flops(answer, config, length)
    _require_recomputation(answer, config, 20)


def _parts(config, length):
    """Pairs of numbers multiplied forward for a token: (weights, attention, head)."""
    width = config.embedding_dim
    weights = config.num_layers * 12 * width**2
    attention = config.num_layers * 2 * length * width
    return weights, attention, width * config.vocabulary_size


def _require_flops(answer, config, length):
    weights, attention, head = _parts(config, length)
    require_value(
        f"the operations of a token in a window of {length}",
        as_count("the operations", answer(config, length)),
        as_count("", 6 * (weights + attention + head)),
        _wrong_passes(config, length) | _wrong_parts(config, length),
    )


def _wrong_passes(config, length):
    """All products counted, but not as often as they are made, or for more tokens."""
    right = 6 * sum(_parts(config, length))
    return {
        "only the forward pass is counted: the backward pass costs twice as much "
        "again": right / 3,
        "two passes are counted where the work is that of three: backward costs twice "
        "as much as forward": right * 2 / 3,
        "a multiplication and an addition are two operations, not one": right / 2,
        "this is for all tokens of a window: return the cost of one": right * length,
    }


def _wrong_parts(config, length):
    """Products that are left out, or are none."""
    weights, attention, head = _parts(config, length)
    blocks, positions = config.num_layers, config.context_len * config.embedding_dim
    products = {
        "attention is forgotten: each query meets `length` keys, and each weight a "
        "value": weights + head,
        "attention is counted half: it has two products, queries with keys and "
        "weights with values, and each counts the masked half too": (
            weights + attention / 2 + head
        ),
        "attention is counted for the whole context, not for a window of `length`": (
            weights + _parts(config, config.context_len)[1] + head
        ),
        "attention is counted for all tokens of the window: this is the cost of one": (
            weights + length * attention + head
        ),
        "the output head is forgotten: it is a matrix like the others": (
            weights + attention
        ),
        "the token embedding is counted: it is looked up, not multiplied": (
            weights + attention + 2 * head
        ),
        "both embeddings are counted: they are looked up, not multiplied": (
            weights + attention + 2 * head + positions
        ),
        "the position embedding is counted: it is looked up, not multiplied": (
            weights + attention + head + positions
        ),
        "only one block is counted: there are `num_layers` of them": (
            (weights + attention) / blocks + head
        ),
        "the output head is counted in every block: there is one": (
            weights + attention + blocks * head
        ),
        "the feed-forward layers are incomplete: with two matrices of width times "
        "four widths a block has 12 * width**2 weights": (
            weights * 8 / 12 + attention + head
        ),
        "the feed-forward layers are forgotten: of a block's 12 * width**2 weights 8 "
        "are theirs": weights * 4 / 12 + attention + head,
        "attention's four matrices are incomplete: query, key and value, and the "
        "output projection": weights * 11 / 12 + attention + head,
    }
    return {sentence: 6 * value for sentence, value in products.items()}


def _require_recomputation(answer, config, length):
    weights, attention, head = _parts(config, length)
    plain = 6 * (weights + attention + head)
    require_value(
        "the operations of a token with recomputation",
        as_count("the operations", answer(config, length, recompute=True)),
        as_count("", plain + 2 * (weights + attention)),
        {
            "`recompute` changes nothing: the blocks go forward once more": plain,
            "the output head is recomputed too: only the blocks are": plain * 4 / 3,
            "attention is not recomputed: a block's whole forward pass is": (
                plain + 2 * weights
            ),
            "only attention is recomputed: a block's whole forward pass is": (
                plain + 2 * attention
            ),
            "the backward pass is made twice: only the forward pass of the blocks is "
            "repeated": plain + 4 * (weights + attention),
            "the whole step of the blocks is made twice: only their forward pass is "
            "repeated": plain + 6 * (weights + attention),
        },
    )


class _Specimen(nn.Module):
    """Frozen, shared and half-precision parameters, and a buffer, which is none."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.head = nn.Linear(8, 50, bias=False)
        self.head.weight = self.embedding.weight
        self.frozen = nn.Linear(8, 7, bias=False).requires_grad_(False)
        self.half = nn.Linear(8, 3, bias=False, dtype=torch.bfloat16)
        self.register_buffer("mask", torch.ones(11, 11))


@check
def bytes_per_process(answer):
    """One thing at a time: plain, half precision, frozen, equal, shared, divided.

    A model on the device meta has no data, so all its parameters lie at address 0.
    """
    _require_bytes(answer, nn.Linear(8, 5), 1, (), 45 * 4, 45 * 4)
    _require_bytes(answer, nn.Linear(8, 5).bfloat16(), 1, (), 45 * 2, 45 * 2)
    frozen = nn.Linear(8, 5)
    frozen.bias.requires_grad_(False)
    _require_bytes(answer, frozen, 1, (), 45 * 4, 40 * 4)
    for device in ("cpu", "meta"):
        layers = [nn.Linear(8, 8, bias=False, device=device) for _ in range(2)]
        _require_bytes(answer, nn.Sequential(*layers), 1, (), 128 * 4, 128 * 4)
    weights, gradients = 50 * 8 * 4 + 7 * 8 * 4 + 3 * 8 * 2, 50 * 8 * 4 + 3 * 8 * 2
    for num_processes, divided in (
        (1, ()),
        (4, ()),
        (4, ("moments",)),
        (4, ["gradients", "moments"]),
        (3, {"weights", "gradients", "moments"}),
    ):
        _require_bytes(answer, _Specimen(), num_processes, divided, weights, gradients)


def _require_bytes(answer, model, num_processes, divided, weights, gradients):
    held = answer(model, num_processes, divided)
    kinds = {"weights": weights, "gradients": gradients, "moments": 2 * gradients}
    require(
        isinstance(held, Mapping) and set(held) == set(kinds),
        "a dictionary with the keys 'weights', 'gradients' and 'moments' should come "
        f"back, not {held!r}",
    )
    for kind, whole in kinds.items():
        share = num_processes if kind in divided else 1
        require_value(
            f"the bytes of {kind} in each of {num_processes} processes, with "
            f"{', '.join(sorted(divided)) or 'nothing'} divided,",
            as_count(kind, held[kind]),
            as_count("", whole / share),
            _wrong_bytes(kind, model, num_processes, share, whole),
        )


def _wrong_bytes(kind, model, num_processes, share, whole):
    """What common mistakes give for one kind; those without effect come out right."""
    all_weights = [*model.parameters()]
    twice = [*model.state_dict(keep_vars=True).values()]
    named = dict(model.named_parameters(remove_duplicate=False)).values()
    moments = 2 if kind == "moments" else 1
    trained = [p for p in all_weights if p.requires_grad or kind == "weights"]
    named_trained = [p for p in named if p.requires_grad or kind == "weights"]

    def size(tensors, width=None):
        numbers = sum(t.numel() * (width or t.element_size()) for t in tensors)
        return numbers * moments / share

    return {
        "AdamW keeps two moments for each number, not one": (
            size(trained) / 2 if kind == "moments" else -1
        ),
        "every number is counted with 4 bytes: ask each parameter for its "
        "`element_size()`": size(trained, 4),
        "numbers are counted, not bytes: a number takes `element_size()` of them": (
            size(trained, 1)
        ),
        "frozen parameters are counted: they have weights, but neither gradients nor "
        "moments": size(all_weights),
        "frozen parameters are left out: they are not trained, but their weights are "
        "there": size([p for p in all_weights if p.requires_grad]),
        "a shared parameter is counted twice: `parameters()` gives it once": (
            size(named_trained)
        ),
        "all that stands in the state dict is counted, a shared parameter twice and "
        "buffers too: count `parameters()`": size(twice),
        f"`divided` is not looked at: {kind} are divided only if it names them": (
            whole / num_processes if share == 1 else whole
        ),
        "of a model on the device meta only one parameter is counted: without data all "
        "have the address 0, so tell them apart as objects, as `parameters()` does": (
            size({p.data_ptr(): p for p in trained}.values())
        ),
        "of two parameters of one shape only one is counted: equal shapes do not make "
        "them one, and `parameters()` gives a shared one once": (
            size({p.shape: p for p in trained}.values())
        ),
        "the slices are rounded: they need not be whole numbers": whole // share,
        f"{kind} are divided by the wrong number: each process holds one slice of "
        "`num_processes`": whole * share,
    }
