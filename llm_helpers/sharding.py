"""Models too large for one process: FSDP, and its checkpoints.

`fully_shard` (PyTorch's FSDP, Zhao et al. 2023) leaves a slice of every weight,
gradient and moment in each process. A checkpoint of such a run has a folder of slices,
each written by its owner with `torch.distributed.checkpoint`, in the safetensors
format, which holds numbers and no code. Slices of any number of processes go into any
other number, one included, and the course's plain checkpoints into slices.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from llm_helpers.parallel import num_processes


def shard(model: nn.Module, device: torch.device) -> None:
    """Leave a slice of each weight in each process; call it before the optimizer's.

    A block's weights are fetched when it is computed and let go after it.
    """
    mesh = init_device_mesh(device.type, (num_processes(),))
    for block in model.trf_blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def write_slices(folder: Path, model_state: dict, optimizer_state: dict) -> dict:
    """Write this process's slices of weights and moments; all processes at once.

    Returns:
        The rest of the optimizer's state, equal in all processes: settings and counts.
    """
    tensors = {f"model.{name}": value for name, value in model_state.items()}
    rest = {"param_groups": optimizer_state["param_groups"], "state": {}}
    for i, moments in optimizer_state["state"].items():
        whole = {k: v for k, v in moments.items() if not isinstance(v, DTensor)}
        rest["state"][i] = whole
        sliced = moments.keys() - whole.keys()
        tensors |= {f"optimizer.{i}.{k}": moments[k] for k in sorted(sliced)}
    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    try:
        dcp.save(tensors, storage_writer=writer)
    except dcp.CheckpointException as error:  # it would pass by any `except Exception`
        raise OSError(f"a process could not write its slices: {error}") from error
    return rest


def read_slices(
    folder: Path, rest: dict | None, weights: dict, parameters: list
) -> tuple[dict, dict | None]:
    """What `write_slices` wrote and returned.

    Args:
        rest: the optimizer's settings and counts; None leaves the optimizer out.
        weights: the state dict of the model that it is for; slices where those are.
        parameters: the optimizer's, in its order.

    Returns:
        (the model's state dict, the optimizer's), whole tensors for what is not given.
    """
    reader = HuggingFaceStorageReader(str(folder))
    tensors, model_state, like = {}, {}, dict(enumerate(parameters))
    for name, saved in reader.read_metadata().state_dict_metadata.items():
        part, _, key = name.partition(".")
        if part == "model":
            tensors[name] = model_state[key] = _room(saved, weights.get(key))
        elif rest is not None:
            i, _, moment = key.partition(".")
            tensors[name] = _room(saved, like.get(int(i)))
            rest["state"][int(i)][moment] = tensors[name]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        dcp.load(tensors, storage_reader=reader, no_dist=True)
    return model_state, rest


def _room(saved, like) -> torch.Tensor:
    """For a saved tensor, or for a slice of it where `like` is a slice of as much."""
    if isinstance(like, DTensor) and like.shape == saved.size:
        return torch.empty_like(like, dtype=saved.properties.dtype)
    return torch.empty(saved.size, dtype=saved.properties.dtype)


def sliced_as(tensor: torch.Tensor, like) -> torch.Tensor:
    """A whole tensor cut for this process as `like` is, if that is sliced."""
    if not isinstance(like, DTensor) or isinstance(tensor, DTensor):
        return tensor
    tensor = tensor.to(like.device)
    return distribute_tensor(
        tensor, like.device_mesh, like.placements, src_data_rank=None
    )
