"""OpenAI's GPT-2 weights (Radford et al. 2019), read into the course's `GPTModel`.

The file is in the safetensors format, as on the Hugging Face hub: names, shapes and
numbers, so that nothing in it is executed. Its linear layers are stored as (in, out),
PyTorch's as (out, in); those of query, key and value lie side by side in one tensor.
"""

import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from llm_helpers.config import GPTConfig
from llm_helpers.model import GPTModel, LayerNorm

_HEAD = "lm_head.weight"
_MASK = re.compile(r"h\.\d+\.attn\.(masked_)?bias")  # a constant in older files
_REMEDY = (
    "take model.safetensors from openai-community/gpt2, openai-community/gpt2-medium, "
    "openai-community/gpt2-large or openai-community/gpt2-xl on the Hugging Face hub"
)


def load_gpt2_weights(path: str | Path, *, dropout: float = 0.1) -> GPTModel:
    """A `GPTModel` with published GPT-2 weights, in float32 and in train mode.

    The size follows from the shapes: `wte.weight` is (vocabulary, channels) and
    `wpe.weight` (context, channels). No tensor tells the number of heads: a file of any
    size is taken to have heads of 64 channels, as the four published sizes do. Without
    an `lm_head.weight`, the output head is a copy of the token embedding, trained
    apart. One tensor at a time is read, from the file alone.

    Args:
        path: a safetensors file, or a folder with `model.safetensors`.
        dropout: the model's, for training it further.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not safetensors, its tensors are not a GPT-2's, or 64
            does not divide its channels; or `dropout` is outside its range.
    """
    path = Path(path)
    path = path / "model.safetensors" if path.is_dir() else path
    with _open(path) as file:
        tensors = _tensors(path, file)
        shapes = {name: tuple(t.get_shape()) for name, t in tensors.items()}
        with torch.device("meta"):  # sizes alone: no time for random numbers
            model = GPTModel.from_config(config_of(path, shapes, dropout))
        _check(path, shapes, model)
        _fill(model.to_empty(device=torch.get_default_device()), tensors)
    return model


def config_of(path: Path, shapes: dict[str, tuple], dropout: float) -> GPTConfig:
    """The size of the model that a file's tensors belong to."""
    for name in ("wte.weight", "wpe.weight"):
        if len(shapes.get(name, ())) != 2:
            raise _refusal(path, f"lacks the matrix {name!r}")
    vocabulary_size, width = shapes["wte.weight"]
    if width % 64:
        raise _refusal(path, f"has {width} channels, which heads of 64 do not divide")
    blocks = {name.split(".")[1] for name in shapes if name.startswith("h.")}
    return GPTConfig(
        embedding_dim=width,
        num_layers=max(1, len(blocks)),
        num_heads=width // 64,
        context_len=shapes["wpe.weight"][0],
        vocabulary_size=vocabulary_size,
        dropout=dropout,
        qkv_bias=True,
    )


def places(model: GPTModel) -> dict[str, list[torch.Tensor]]:
    """Where each published tensor goes: our parameters, side by side in its last axis.

    Weights of linear layers are transposed views, (in, out) as published.
    """
    layers = {"ln_f": [model.final_norm]}
    for number, block in enumerate(model.trf_blocks):
        h, att, ff = f"h.{number}", block.att, block.ff.layers
        layers[f"{h}.ln_1"] = [block.norm1]
        layers[f"{h}.attn.c_attn"] = [att.W_query, att.W_key, att.W_value]
        layers[f"{h}.attn.c_proj"] = [att.out_proj]
        layers[f"{h}.ln_2"] = [block.norm2]
        layers[f"{h}.mlp.c_fc"] = [ff[0]]
        layers[f"{h}.mlp.c_proj"] = [ff[2]]
    found = {"wte.weight": [model.tok_emb.weight], "wpe.weight": [model.pos_emb.weight]}
    found[_HEAD] = [model.out_head.weight]
    for name, parts in layers.items():
        norm = isinstance(parts[0], LayerNorm)
        found[f"{name}.weight"] = [p.scale if norm else p.weight.T for p in parts]
        found[f"{name}.bias"] = [p.shift if norm else p.bias for p in parts]
    return found


def shape_of(parts: list[torch.Tensor]) -> tuple[int, ...]:
    """The shape of tensors side by side: n times (..., C) -> (..., n * C)."""
    return (*parts[0].shape[:-1], len(parts) * parts[0].shape[-1])


def _open(path: Path) -> safe_open:
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}; {_REMEDY}")
    if path.suffix == ".bin":
        raise ValueError(f"{path} is a pickle, which can run code when read; {_REMEDY}")
    try:
        return safe_open(path, framework="pt")
    except SafetensorError as error:
        raise ValueError(f"{path} is not safetensors ({error}); {_REMEDY}") from error


def _tensors(path: Path, file: safe_open) -> dict:
    """The file's weights by their published names; each is read when it is sliced."""
    tensors = {}
    names = file.keys()
    for name in names:
        published = name.removeprefix("transformer.")
        if _MASK.fullmatch(published):
            continue
        if published in tensors:
            raise _refusal(path, f"holds {published!r} twice")
        tensors[published] = file.get_slice(name)
        if (dtype := tensors[published].get_dtype()) not in ("F16", "BF16", "F32"):
            raise _refusal(path, f"holds {name!r} as {dtype}")
    return tensors


def _check(path: Path, shapes: dict[str, tuple], model: GPTModel) -> None:
    """All tensors of the model and no others; its head need not be there."""
    expected = {name: shape_of(parts) for name, parts in places(model).items()}
    if missing := expected.keys() - shapes.keys() - {_HEAD}:
        raise _refusal(path, f"lacks {min(missing)!r}")
    if extra := shapes.keys() - expected.keys():
        raise _refusal(path, f"holds an unknown {min(extra)!r}")
    for name, shape in shapes.items():
        if shape != expected[name]:
            fault = f"holds {name!r} in the shape {shape} instead of {expected[name]}"
            raise _refusal(path, fault)


def _refusal(path: Path, fault: str) -> ValueError:
    return ValueError(f"{path} is not a GPT-2 as published: it {fault}; {_REMEDY}")


@torch.no_grad()
def _fill(model: GPTModel, tensors: dict) -> None:
    for name, parts in places(model).items():
        values = tensors[name if name in tensors else "wte.weight"][:]  # a tied head
        for part, value in zip(parts, values.chunk(len(parts), dim=-1)):
            part.copy_(value)
