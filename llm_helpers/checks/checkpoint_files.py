"""Check of the exercise of lesson 03 that writes a checkpoint's file.

Each case has a temporary folder of its own.
"""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from llm_helpers.checks.verdict import check, require

NEW = b"new content"
BYSTANDERS = {"step_1.pth": b"another checkpoint", "notes.tmp": b"notes"}


@check
def replace_file(answer):
    """Renaming is watched (it still happens), and a write is made to fail half-way."""
    for old in (b"old content", None):
        _require_replaced(answer, old)
        _require_unharmed(answer, old, OSError("no space left"))
        _require_unharmed(answer, old, KeyboardInterrupt("stopped by Ctrl-C"))


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


def _require_unharmed(answer, old, reason):
    def write(file):
        file.write(b"half of the")
        raise reason

    with _folder_with(old) as path:
        try:
            answer(path, write)
        except type(reason) as error:
            if str(error) != str(reason):
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
        left = {p.name for p in path.parent.iterdir()} - {path.name, *BYSTANDERS}
        require(
            not left or isinstance(reason, Exception),
            "a write that Ctrl-C stopped leaves its half file in the folder: "
            "KeyboardInterrupt is no `Exception`, so remove the file in `finally`",
        )
        require(
            not left,
            "a write that failed leaves its half file in the folder: remove it in "
            "`finally`, or in `except BaseException` with a `raise` at its end",
        )


def _content(path):
    return path.read_bytes() if path.exists() else None


@contextmanager
def _folder_with(content):
    """The path of a file with this content, or of none, beside files of others."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.pth"
        for name, other in BYSTANDERS.items():
            path.with_name(name).write_bytes(other)
        if content is not None:
            path.write_bytes(content)
        yield path
        for name, other in BYSTANDERS.items():
            require(
                _content(path.with_name(name)) == other,
                f"another file of the folder, `{name}`, is changed or deleted: touch "
                "only `path` and the file that you write",
            )


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
