"""Token streams on disk, for texts that do not fit into memory.

Texts are cut into pieces, tokenised by several threads, and written as they come. The
stream is then mapped into memory (`torch.from_file`): the system reads what is asked
for and forgets it when memory is short. A file is named by the SHA-256 of texts and
tokenizer, so it is never out of date; it can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import tiktoken
import torch
from tqdm import tqdm

from llm_helpers.texts import read_pieces, read_text

PIECE_CHARACTERS = 2**20


def cached_tokens(
    paths: list[Path], vocabulary, special_token_id: int, cache_dir: str | Path
) -> torch.Tensor:
    """The stream of the files' tokens, each file followed by the special token.

    Args:
        paths: UTF-8 texts, in order.
        cache_dir: where the streams are kept; made if needed.

    Returns:
        (N,), uint16, or int32 for a vocabulary of more than 65,536 tokens.

    Raises:
        ValueError: a file is not UTF-8.
        OSError: the stream could not be written.
    """
    dtype = torch.uint16 if vocabulary.n_vocab <= 2**16 else torch.int32
    name = f"tokens_{_key(paths, vocabulary, special_token_id)[:32]}.bin"
    path = Path(cache_dir) / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            unfinished = Path(folder) / name
            _write(unfinished, paths, vocabulary, special_token_id, dtype)
            os.replace(unfinished, path)
    size = path.stat().st_size // dtype.itemsize
    return torch.from_file(str(path), size=size, dtype=dtype)


def _key(paths: list[Path], vocabulary, special_token_id: int) -> str:
    """SHA-256 of everything that decides the stream."""
    kind = type(vocabulary).__qualname__, getattr(vocabulary, "name", None)
    digest = hashlib.sha256(repr((kind, special_token_id)).encode())
    for token in range(vocabulary.n_vocab):
        digest.update(repr(vocabulary.decode([token])).encode())
    for path in paths:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _write(path: Path, paths, vocabulary, special_token_id: int, dtype) -> None:
    numpy_dtype = torch.empty(0, dtype=dtype).numpy().dtype
    if isinstance(vocabulary, tiktoken.Encoding):
        pieces = _pieces(paths)
    else:  # whether another tokenizer's texts may be cut is not known
        pieces = ((read_text(path), True) for path in paths)

    def encode(piece: tuple[str, bool]) -> np.ndarray:
        text, ends_document = piece
        tokens = _encode(vocabulary, text)
        return np.append(tokens, special_token_id) if ends_document else tokens

    threads = os.cpu_count() or 1
    with (
        open(path, "wb") as file,
        ThreadPoolExecutor(threads) as pool,
        tqdm(desc="tokenising", unit=" tokens", unit_scale=True, disable=None) as bar,
    ):
        while batch := list(islice(pieces, 2 * threads)):
            for tokens in pool.map(encode, batch):
                file.write(tokens.astype(numpy_dtype).tobytes())
                bar.update(len(tokens))


def _encode(vocabulary, text: str) -> np.ndarray:
    if isinstance(vocabulary, tiktoken.Encoding):  # it lets other threads run meanwhile
        return vocabulary.encode_to_numpy(text, disallowed_special=())
    return np.array(vocabulary.encode_ordinary(text), dtype=np.int64)


def _pieces(paths: list[Path]) -> Iterator[tuple[str, bool]]:
    """Pieces of about a million characters, and whether a document ends with each.

    Byte-pair encoding first splits a text into words, and no word of GPT-2's pattern
    reaches from a letter into the space after it. So there a text may be cut, and the
    pieces' tokens are the text's.
    """
    for path in paths:
        rest = ""
        for piece in read_pieces(path, PIECE_CHARACTERS):
            rest += piece
            cut = _last_cut(rest)
            if cut:
                yield rest[:cut], False
                rest = rest[cut:]
        yield rest, True


def _last_cut(text: str) -> int:
    """The last space or line end that follows a letter or digit; 0 if there is none."""
    cut = len(text)
    while (cut := max(text.rfind(" ", 0, cut), text.rfind("\n", 0, cut))) > 0:
        if text[cut - 1].isalnum():
            return cut
    return 0
