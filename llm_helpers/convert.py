"""A sharded checkpoint as a plain one: `python -m llm_helpers.convert FROM N TO`.

Runs need no conversion: any of them goes on from either kind. It is for other programs,
which read `model_00000N.pth` with PyTorch alone.
"""

import argparse
import sys
from pathlib import Path

from llm_helpers.checkpoint import read_contents, read_state, write_checkpoint
from llm_helpers.checkpoint_folder import INTERRUPTED, verify_checkpoint


def convert_checkpoint(
    checkpoint_dir: str | Path, number: int | str, to: str | Path
) -> None:
    """Write a checkpoint of either kind as a plain one of the same number.

    It takes one process and memory for all weights and moments.

    Args:
        number: 0, 1, 2, ... or "interrupted".
        to: another folder; a checkpoint of that number there is replaced.

    Raises:
        FileNotFoundError, CheckpointError, OSError: as `load_checkpoint` and
            `save_checkpoint` do.
    """
    paths = verify_checkpoint(checkpoint_dir, number)
    model_state, optimizer_state = read_contents(paths, {}, [])
    contents = {"optimizer": optimizer_state, "model": model_state}
    state = read_state(checkpoint_dir, number)
    if state is not None:
        contents = {"state": state, **contents}
    write_checkpoint(Path(to), number, contents)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m llm_helpers.convert", description=convert_checkpoint.__doc__
    )
    parser.add_argument("checkpoint_dir", metavar="FROM")
    parser.add_argument("number", metavar="N", help="its number, or interrupted")
    parser.add_argument("to", metavar="TO")
    args = parser.parse_args()
    try:
        number = args.number if args.number == INTERRUPTED else int(args.number)
        convert_checkpoint(args.checkpoint_dir, number, args.to)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(f"Checkpoint {args.number} of {args.checkpoint_dir} is in {args.to}.")


if __name__ == "__main__":
    main()
