"""Checks of the exercises of lesson 03 that write and read a checkpoint's files.

Each case has a temporary folder of its own.
"""

import hashlib
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from llm_helpers.checks.verdict import CheckError, check, require

NEW = b"new content"


@check
def replace_file(answer):
    """Renaming is watched (it still happens), and a write is made to fail half-way."""
    for old in (b"old content", None):
        _require_replaced(answer, old)
        _require_unharmed(answer, old)


def _require_replaced(answer, old):
    with _folder_with(old) as path:
        contents, renamings = [], []

        def write(file):
            contents.append(_content(path))
            file.write(NEW)

        with _watched_renaming(path, contents, renamings):
            answer(path, write)
        _require_never_half(contents, old)
        require(path.exists(), "under the final name there is no file afterwards")
        require(
            path.read_bytes() == NEW,
            "the file does not hold what `write` wrote: is it the one you renamed?",
        )
        _require_renamed(path, renamings)
        _require_not_hindered(answer, path, renamings[-1][0])


def _require_never_half(contents, old):
    """What was under the final name while writing, and up to the renaming."""
    for content in contents:
        require(
            content is not None or old is None,
            "the old file is deleted before the new one is in its place: a kill in "
            "between leaves nothing, and `os.replace` needs no deleting",
        )
        require(
            content == old,
            "the file under the final name is written to directly: a kill in the "
            "middle leaves half a file there, so write to another name and rename",
        )


def _require_renamed(path, renamings):
    require(
        bool(renamings),
        "the new file is never renamed to `path`: writing or copying to it takes time "
        "and may be killed in the middle, renaming is one act",
    )
    source, content = renamings[-1]
    require(
        source.parent == path.parent,
        "the new file is written in another folder: that may be on another disk, from "
        "where it cannot be renamed in one act, so use the folder of `path`",
    )
    require(
        content == NEW,
        "the file is renamed before it is closed: a part of it still waits in a "
        "buffer, so rename after the `with`",
    )


def _require_not_hindered(answer, path, leftover):
    """Once more, with a temporary file in the way that a kill has left."""
    leftover.write_bytes(b"half a file from a killed run")
    try:
        answer(path, lambda file: file.write(NEW))
        hindered = path.read_bytes() != NEW
    except FileExistsError:
        hindered = True
    require(
        not hindered,
        "a file that an earlier kill left behind is in the way: open it with "
        '`"wb"`, which empties it first',
    )


def _require_unharmed(answer, old):
    def write(file):
        file.write(b"half of the")
        raise OSError("no space left")

    with _folder_with(old) as path:
        try:
            answer(path, write)
        except OSError as error:
            if str(error) != "no space left":
                raise
            swallowed = False
        else:
            swallowed = True
        require(
            _content(path) == old,
            "a write that failed half-way replaces the file all the same: rename only "
            "when all is written",
        )
        require(
            not swallowed,
            "the error of `write` is swallowed: the caller would believe that the "
            "checkpoint is there, so let it through",
        )
        require(
            [p for p in path.parent.iterdir() if p != path] == [],
            "a write that failed leaves its half file in the folder: remove it in "
            "`finally`, or in `except` with a `raise` at its end",
        )


def _content(path):
    return path.read_bytes() if path.exists() else None


@contextmanager
def _folder_with(content):
    """The path of a file with this content, or of none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.pth"
        if content is not None:
            path.write_bytes(content)
        yield path


@contextmanager
def _watched_renaming(path, contents, renamings):
    """Note what is at `path` and in the source when something is renamed to it."""

    def watched(rename):
        def watching(source, target, **more):
            if Path(target) == path:
                contents.append(_content(path))
                renamings.append((Path(source), _content(Path(source))))
            return rename(source, target, **more)

        return watching

    with (
        mock.patch("os.replace", watched(os.replace)),
        mock.patch("os.rename", watched(os.rename)),
    ):
        yield


@check
def newest_complete(answer):
    whole, damaged, no_sum, no_data = "whole", "damaged", "no sum", "no data"
    _require_newest(answer, {3: whole}, 3, {})
    _require_newest(
        answer,
        {9: whole, 10: whole, 8: whole},
        10,
        {
            9: "names are compared as text, where 9 comes after 10: compare numbers",
            8: "the file that was written last is taken: dates change when a folder is "
            "copied, so compare the numbers in the names",
        },
    )
    gives_up = "a damaged newest checkpoint ends the search: go on to the one before"
    not_compared = "the checksum is not compared with the file's: damage stays unseen"
    _require_newest(
        answer, {5: whole, 7: damaged}, 5, {7: not_compared, None: gives_up}
    )
    _require_newest(answer, {4: whole, 5: damaged, 6: damaged}, 4, {None: gives_up})
    lacks = "a checkpoint without its {} is {}: a kill came in between, so pass it over"
    for part, missing in ((no_sum, "checksum"), (no_data, ".pth file")):
        counts, ends = (
            lacks.format(missing, "counted"),
            lacks.format(missing, "the end"),
        )
        _require_newest(answer, {5: whole, 7: part}, 5, {7: counts, None: ends})
    _require_newest(
        answer,
        {0: whole},
        0,
        {None: "step 0 is taken for nothing: ask `is None`, as 0 counts as false"},
    )
    for nothing in ({}, {5: damaged}):
        _require_newest(answer, nothing, None, {5: not_compared})


def _require_newest(answer, states, expected, mistakes):
    """Of a folder with these checkpoints, made in this order, and other files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for date, (step, state) in enumerate(states.items()):
            _make_checkpoint(folder, step, state, date)
        for other in ("step_50.pth.tmp", "step_best.pth", "step_best.sha256", "notes"):
            (folder / other).write_text("")
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        newest = _newest(answer, folder)
        after = {path.name: path.read_bytes() for path in folder.iterdir()}
    require(before == after, "files of the folder are changed or deleted")
    require(
        newest is None or type(newest) is int,
        f"the step should come back as an int, not {type(newest).__name__}",
    )
    if newest == expected:
        return
    if newest in mistakes:
        raise CheckError(mistakes[newest])
    listed = ", ".join(f"{step} ({state})" for step, state in states.items())
    raise CheckError(
        f"of the checkpoints {listed or 'of an empty folder'} the newest complete one "
        f"should be {expected}, not {newest}"
    )


def _newest(answer, folder):
    try:
        return answer(folder)
    except FileNotFoundError as error:
        raise CheckError(
            "a checkpoint with only one of its two files ends the search with an "
            "error: ask whether the other is there, and pass it over if not"
        ) from error
    except ValueError as error:
        if "int()" not in str(error):
            raise
        raise CheckError(
            "a file that is no checkpoint, such as `step_best.pth`, is taken for one: "
            "there is no number in its name"
        ) from error


def _make_checkpoint(folder, step, state, date):
    """`step_N.pth` and its checksum; a damaged one has a single bit flipped."""
    data, checksum = folder / f"step_{step}.pth", folder / f"step_{step}.sha256"
    content = bytearray(f"the weights of step {step}".encode())
    if state != "no sum":
        checksum.write_text(hashlib.sha256(content).hexdigest())
        os.utime(checksum, (date, date))
    if state == "damaged":
        content[5] ^= 1
    if state != "no data":
        data.write_bytes(content)
        os.utime(data, (date, date))
