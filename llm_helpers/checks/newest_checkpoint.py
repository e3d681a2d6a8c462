"""Check of the exercise of lesson 03 that looks for the newest whole checkpoint."""

import hashlib
import os
import tempfile
from pathlib import Path

from llm_helpers.checks.verdict import CheckError, check, require

DECOYS = {  # with right checksums, and more than any step that counts
    "step_best.pth": ("step_best.sha256",),
    "old_step_60.pth": ("old_step_60.sha256", "step_60.sha256"),
    "step_50.pth.tmp": ("step_50.pth.sha256", "step_50.sha256"),
    "older/step_70.pth": ("older/step_70.sha256",),
}
TAKEN = {
    50: "`step_50.pth.tmp` is taken for a checkpoint: a name must end with `.pth`, so "
    "match the whole of it",
    60: "`old_step_60.pth` is taken for a checkpoint: a name must begin with `step_`, "
    "so match the whole of it",
    70: "a checkpoint in a subfolder is taken: only those in the folder itself count",
}
WHOLE, DAMAGED, NO_SUM, NO_DATA = "whole", "damaged", "no sum", "no data"
SUMS = {  # other checksum files than the right one, made from the right text
    "an empty checksum": lambda text: b"",
    "a checksum cut off in the middle": lambda text: text[:30],
    "a checksum with more digits behind it": lambda text: text + b"0123",
    "a checksum file that is not text": lambda text: b"\xff" + text[1:],
}


@check
def newest_complete(answer):
    _require_newest(answer, {3: WHOLE}, 3, {})
    _require_newest(
        answer,
        {9: WHOLE, 10: WHOLE, 8: WHOLE},
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
        answer, {5: WHOLE, 7: DAMAGED}, 5, {7: not_compared, None: gives_up}
    )
    _require_newest(answer, {4: WHOLE, 5: DAMAGED, 6: DAMAGED}, 4, {None: gives_up})
    _require_passed_over(answer)
    _require_newest(
        answer,
        {0: WHOLE},
        0,
        {None: "step 0 is taken for nothing: ask `is None`, as 0 counts as false"},
    )
    for nothing in ({}, {5: DAMAGED}):
        _require_newest(answer, nothing, None, {5: not_compared})


def _require_passed_over(answer):
    """Checkpoints that lack a part, or whose checksum file is itself damaged."""
    lacks = "a checkpoint without its {} is {}: a kill came in between, so pass it over"
    for part, missing in ((NO_SUM, "checksum"), (NO_DATA, ".pth file")):
        counts = lacks.format(missing, "counted")
        ends = lacks.format(missing, "the end")
        _require_newest(answer, {5: WHOLE, 7: part}, 5, {7: counts, None: ends})
    for part in SUMS:
        counts = f"{part} counts as right: compare the whole content with `==`"
        ends = f"{part} ends the search: go on to the checkpoint before"
        _require_newest(answer, {5: WHOLE, 7: part}, 5, {7: counts, None: ends})


def _require_newest(answer, states, expected, mistakes):
    """Of a folder with these checkpoints, made in this order, and other files."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for date, (step, state) in enumerate(states.items()):
            _make_checkpoint(folder, step, state, date)
        _make_decoys(folder)
        before = _contents(folder)
        newest = _newest(answer, folder)
        after = _contents(folder)
    require(before == after, "files of the folder are changed or deleted")
    require(
        newest is None or type(newest) is int,
        f"the step should come back as an int, not {type(newest).__name__}",
    )
    if newest == expected:
        return
    for wrong, sentence in (TAKEN | mistakes).items():
        require(newest != wrong, sentence)
    listed = ", ".join(f"{step} ({state})" for step, state in states.items())
    raise CheckError(
        f"of the checkpoints {listed or 'of an empty folder'} the newest complete one "
        f"should be {expected}, not {newest}"
    )


def _newest(answer, folder):
    try:
        return answer(folder)
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        require(not missing.startswith("step_70."), TAKEN[70])
        decoy = {
            "step_50.pth": "step_50.pth.tmp",
            "step_50.pth.pth": "step_50.pth.tmp",
            "step_60.pth": "old_step_60.pth",
        }
        other = f" (and `{decoy[missing]}` is another)" if missing in decoy else ""
        raise CheckError(
            "a checkpoint with only one of its two files ends the search with an "
            f"error: `{missing}` is not there{other}, so ask for both files and pass "
            "over the number if one is missing"
        ) from error
    except UnicodeDecodeError as error:
        raise CheckError(
            "a checksum file that is damaged, and no text any more, ends the search "
            "with an error: compare bytes, or pass over what cannot be decoded"
        ) from error
    except ValueError as error:
        if "int() with base 10" not in str(error):
            raise
        raise CheckError(
            "a file that is no checkpoint, such as `step_best.pth`, is taken for one: "
            "there is no number in its name"
        ) from error


def _contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _make_decoys(folder):
    (folder / "older").mkdir()
    (folder / "notes").write_text("")
    for name, checksums in DECOYS.items():
        content = f"the content of {name}".encode()
        (folder / name).write_bytes(content)
        for checksum in checksums:
            (folder / checksum).write_bytes(_sum(content))


def _make_checkpoint(folder, step, state, date):
    """`step_N.pth` and its checksum; a damaged one has a single bit flipped."""
    data, checksum = folder / f"step_{step}.pth", folder / f"step_{step}.sha256"
    content = bytearray(f"the weights of step {step}".encode())
    if state != NO_SUM:
        written = SUMS.get(state, bytes)(_sum(content))
        checksum.write_bytes(written)
        os.utime(checksum, (date, date))
    if state == DAMAGED:
        content[5] ^= 1
    if state != NO_DATA:
        data.write_bytes(content)
        os.utime(data, (date, date))


def _sum(content):
    return hashlib.sha256(content).hexdigest().encode()
