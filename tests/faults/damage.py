"""Damaged, foreign and malicious checkpoints: refused in words, nothing executed."""

import hashlib
import json
import os
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from played import play
from tiny import copy_of, run_settings, same, tiny_model

from llm_helpers import CheckpointError, checkpoint_path, pretrain_model
from llm_helpers.checkpoint_folder import manifest_sha256

KINDS = ("state", "optimizer", "model")  # slices are damaged in tests/test_parallel.py
NEWEST = 3
EPOCHS = dict(num_epochs=2, eval_freq=7)
FILES = (*KINDS, "manifest")


class Case(NamedTuple):
    """One kind of damage to checkpoint 3 of a folder that holds 0, 1, 2, 3."""

    name: str
    damage: Callable[[Path, "Runs"], None]
    latest_passes_over: bool = True  # not where all is whole but of another run


class Verdict(NamedTuple):
    """What came of asking for the damaged checkpoint, and for the latest."""

    sentence: str  # the refusal
    refused_in_words: bool
    nothing_executed: bool
    nothing_changed: bool  # weights, optimizer, folder
    latest_is_exact: bool  # or refused, too, where all is whole but of another run


class Runs:
    """The folders that the cases start from, and the end of the straight run."""

    def __init__(self, folder: Path):
        self.straight = play(folder / "straight", **EPOCHS)["weights"]
        self.ended, self.other, self.wider = (
            folder / name for name in ("ended", "other", "wider")
        )
        play(self.ended, until=NEWEST, **EPOCHS)
        play(self.other, until=NEWEST, seed=5, **EPOCHS)
        play(self.wider, until=NEWEST, embedding_dim=32, **EPOCHS)
        self.canary = folder / "canary"


def verdict(case: Case, runs: Runs, folder: Path) -> Verdict:
    """Damage a copy of the ended run and try to go on from it."""
    shutil.copytree(runs.ended, folder)
    case.damage(folder, runs)
    before = _contents(folder)
    sentence, unchanged = _refusal(folder, NEWEST)
    if case.latest_passes_over:
        outcome = play(folder, checkpoint="latest", seed=9, **EPOCHS)
        latest_is_exact = same(outcome["weights"], runs.straight)
    else:
        latest_is_exact = all(_refusal(folder, "latest"))
    return Verdict(
        sentence=sentence,
        refused_in_words=bool(sentence) and "\n" not in sentence,
        nothing_executed=not runs.canary.exists(),
        nothing_changed=unchanged and before.items() <= _everything(folder).items(),
        latest_is_exact=latest_is_exact,
    )


def _refusal(folder: Path, checkpoint) -> tuple[str, bool]:
    """The sentence, and whether weights and optimizer are as before."""
    settings = run_settings(folder, tiny_model(dropout=0.2, seed=9), **EPOCHS)
    model, optimizer = settings["model"], settings["optimizer"]
    before = copy_of([dict(model.state_dict()), optimizer.state_dict()])
    try:
        pretrain_model(**settings | {"checkpoint": checkpoint})
    except (CheckpointError, FileNotFoundError) as error:
        after = [dict(model.state_dict()), optimizer.state_dict()]
        return str(error), same(before, after)
    return "", False


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*_*.*")}


def _everything(folder: Path) -> dict[str, bytes]:
    """Also what going on has set aside."""
    return _contents(folder / "superseded-1") | {
        name: content
        for name, content in _contents(folder).items()
        if not (folder / "superseded-1" / name).exists()
    }


# The damage


def _path(folder: Path, kind: str) -> Path:
    return checkpoint_path(folder, kind, NEWEST)


def _truncated(kind: str, share: float):
    def damage(folder, runs):
        content = _path(folder, kind).read_bytes()
        length = min(int(len(content) * share), len(content) - 1)
        _path(folder, kind).write_bytes(content[:length])

    return damage


def _flipped(kind: str, seed: int):
    def damage(folder, runs):
        content = bytearray(_path(folder, kind).read_bytes())
        randomness = random.Random(seed)
        content[randomness.randrange(len(content))] ^= 1 << randomness.randrange(8)
        _path(folder, kind).write_bytes(content)

    return damage


def _missing(kind: str):
    return lambda folder, runs: _path(folder, kind).unlink()


def _from(place: str, kind: str):
    """The file of the same number of another run."""
    return lambda folder, runs: shutil.copy(
        _path(getattr(runs, place), kind), _path(folder, kind)
    )


def _of_an_earlier_number(kind: str):
    return lambda folder, runs: shutil.copy(
        checkpoint_path(folder, kind, NEWEST - 1), _path(folder, kind)
    )


def _instead_of(kind: str, other_kind: str):
    return lambda folder, runs: shutil.copy(
        _path(folder, other_kind), _path(folder, kind)
    )


def _all_from(place: str):
    def damage(folder, runs):
        for kind in FILES:
            _from(place, kind)(folder, runs)

    return damage


class Malicious:
    """Unpickled carelessly, it makes a folder: the canary."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return os.mkdir, (str(self.canary),)


def _malicious(kind: str):
    def damage(folder, runs):
        state = torch.load(_path(folder, kind), weights_only=True)
        torch.save({**state, "evil": Malicious(runs.canary)}, _path(folder, kind))

    return damage


def _malicious_pickle(kind: str):
    def damage(folder, runs):
        content = pickle.dumps(Malicious(runs.canary), protocol=2)
        _path(folder, kind).write_bytes(content)

    return damage


def _holding(kind: str, content):
    return lambda folder, runs: torch.save(content, _path(folder, kind))


def _with_a_matching_manifest(damage):
    """Whoever forges a checkpoint can forge its hashes, too."""

    def forged(folder, runs):
        damage(folder, runs)
        _edit_manifest(folder, lambda manifest: manifest["files"].update(_true(folder)))

    return forged


def _true(folder: Path) -> dict:
    contents = {_path(folder, kind): _path(folder, kind).read_bytes() for kind in KINDS}
    return {
        path.name: {"bytes": len(b), "sha256": hashlib.sha256(b).hexdigest()}
        for path, b in contents.items()
    }


def _edit_manifest(folder: Path, change) -> None:
    path = _path(folder, "manifest")
    manifest = json.loads(path.read_text(encoding="utf-8"))
    change(manifest)
    manifest["sha256"] = manifest_sha256(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")


def _manifest(change):
    return lambda folder, runs: _edit_manifest(folder, change)


def _manifest_that_says(text: str):
    return lambda folder, runs: _path(folder, "manifest").write_text(text, "utf-8")


def _outside(manifest):
    name = f"model_{NEWEST:06d}.pth"
    manifest["files"][f"../{name}"] = manifest["files"].pop(name)


CASES = [
    *(
        Case(f"{kind} truncated to {share:.1%}", _truncated(kind, share))
        for kind in FILES
        for share in (0.001, 0.1, 0.5, 0.9, 1.0)  # the last lacks one byte
    ),
    *(
        Case(f"{kind} with a bit flipped ({seed})", _flipped(kind, seed))
        for kind in FILES
        for seed in range(5)
    ),
    *(Case(f"{kind} emptied", _truncated(kind, 0.0)) for kind in FILES),
    *(Case(f"{kind} missing", _missing(kind)) for kind in FILES),
    *(Case(f"{kind} of another run", _from("other", kind)) for kind in FILES),
    *(Case(f"{kind} of another model", _from("wider", kind)) for kind in FILES),
    *(
        Case(f"{kind} of an earlier number", _of_an_earlier_number(kind))
        for kind in FILES
    ),
    Case("optimizer in the model's place", _instead_of("model", "optimizer")),
    Case("model in the optimizer's place", _instead_of("optimizer", "model")),
    Case("model in the state's place", _instead_of("state", "model")),
    *(Case(f"malicious {kind}", _malicious(kind)) for kind in KINDS),
    *(
        Case(
            f"malicious {kind}, forged manifest",
            _with_a_matching_manifest(_malicious(kind)),
        )
        for kind in KINDS
    ),
    *(
        Case(
            f"malicious plain pickle as {kind}, forged manifest",
            _with_a_matching_manifest(_malicious_pickle(kind)),
        )
        for kind in KINDS
    ),
    *(
        Case(
            f"{kind} is a list, forged manifest",
            _with_a_matching_manifest(_holding(kind, [1, 2])),
        )
        for kind in KINDS
    ),
    Case("manifest names a file outside", _manifest(_outside)),
    Case("manifest of a newer format", _manifest(lambda m: m.update(format=9))),
    Case("manifest of no format", _manifest(lambda m: m.pop("format"))),
    Case("manifest without files", _manifest(lambda m: m.update(files={}))),
    Case("manifest is a list", _manifest_that_says("[1, 2]")),
    Case("manifest is HTML", _manifest_that_says("<html>404</html>")),
    Case("whole, but of another model", _all_from("wider"), False),
    Case(
        "state is empty, forged manifest",
        _with_a_matching_manifest(_holding("state", {})),
        False,
    ),
    Case(
        "model in the state's place, forged manifest",
        _with_a_matching_manifest(_instead_of("state", "model")),
        False,
    ),
    Case(
        "model of another model, forged manifest",
        _with_a_matching_manifest(_from("wider", "model")),
        False,
    ),
    Case(
        "optimizer of another model, forged manifest",
        _with_a_matching_manifest(_from("wider", "optimizer")),
        False,
    ),
]
