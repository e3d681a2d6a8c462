"""Text files: which there are, and what they say."""

from collections.abc import Iterator
from pathlib import Path


def text_files(data_path: str | Path) -> list[Path]:
    """The `.txt` files of a folder, sorted by name, or the one file that is named."""
    path = Path(data_path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise FileNotFoundError(f"no file or folder {path}; check data_path")
    files = sorted(path.glob("*.txt"))
    if not files:
        raise FileNotFoundError(
            f"the folder {path} holds no .txt file; put UTF-8 texts into it"
        )
    return files


def read_text(path: Path) -> str:
    """A UTF-8 file's text; a byte-order mark is dropped, line ends become newlines.

    Raises ValueError where it is not UTF-8.
    """
    return "".join(read_pieces(path))


def read_pieces(path: Path, num_characters: int = -1) -> Iterator[str]:
    """The same text, so many characters at a time."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            while piece := file.read(num_characters):
                if "\0" in piece:
                    raise _not_utf8(path, "it holds zero bytes, as UTF-16 does")
                yield piece
    except UnicodeDecodeError as error:
        raise _not_utf8(
            path, f"{error.reason}: {error.object[error.start]:#04x}"
        ) from error


def _not_utf8(path: Path, fault: str) -> ValueError:
    return ValueError(
        f"{path} is not UTF-8 ({fault}); save it again with the encoding UTF-8"
    )
