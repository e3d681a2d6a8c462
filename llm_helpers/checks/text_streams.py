"""Checks of the exercises of lesson 00 on texts: to one stream, and back to the screen.

Texts with the letters of the mark, empty ones, and Chinese, whose characters the
tokenizer cuts in parts.
"""

import codecs

import torch

from llm_helpers.checks.token_rows import require_int64, require_pair, whole_numbers
from llm_helpers.checks.verdict import CheckError, check, require, require_value
from llm_helpers.tokenizer import END_OF_TEXT, END_OF_TEXT_ID, load_tokenizer

TEXTS = ["Old Bram lit the lamps", "", f"{END_OF_TEXT} is a mark.", " Ada slept."]
SENTENCE = "阿粟在账本上记了一笔，no more。"
UNFINISHED = (
    "each token is decoded alone: the bytes of an unfinished character must wait for "
    "the token that brings the rest"
)
STOPS = (
    "bytes that fit no character stop it with an error: a decoder with "
    '`errors="replace"` shows � for them'
)


@check
def join_documents(answer):
    tokenizer = load_tokenizer("gpt2")
    given = list(TEXTS)
    try:
        joined = answer(given, tokenizer, END_OF_TEXT_ID)
    except ValueError as error:
        require(
            "disallowed special token" not in str(error),
            "`encode` refuses a text with the letters of the mark: `encode_ordinary` "
            "takes them for ordinary letters",
        )
        raise
    require(given == TEXTS, "the list of texts is changed: leave it as it is")
    require_pair("what comes back", joined)
    tokens, starts = joined
    require_int64("the stream", tokens, 1, "(N,)")
    pieces = [tokenizer.encode_ordinary(text) for text in TEXTS]
    _require_stream(tokens.tolist(), pieces, tokenizer)
    require(
        not isinstance(starts, torch.Tensor),
        "the starts should be a list of ints, not a tensor: `.tolist()`",
    )
    _require_text_starts(whole_numbers("the starts", starts), pieces)
    other, _ = answer(given, tokenizer, 13)
    require(
        whole_numbers("the stream", other) == _join(pieces, after=[13]),
        "the mark is always the same number: append `end_id`, whatever it is",
    )


def _require_stream(tokens, pieces, tokenizer):
    encode, mark = tokenizer.encode_ordinary, [END_OF_TEXT_ID]
    forged = [tokenizer.encode(text, allowed_special="all") for text in TEXTS]
    spelt = END_OF_TEXT.join(TEXTS)
    by_mistake = {
        "the mark after the last text is missing: each text has one": [
            _join(pieces, after=mark)[:-1]
        ],
        "the marks stand before the texts: each belongs after its text": [
            _join([mark + piece for piece in pieces], after=[])
        ],
        "there is no mark in the stream: append `end_id` after each text": [
            _join(pieces, after=[]),
            encode("".join(TEXTS)),
        ],
        "there is one mark, at the very end: each text has one": [
            _join(pieces, after=[]) + mark,
            encode("".join(TEXTS)) + mark,
        ],
        "the letters of a text have become a mark: with `encode_ordinary` no text can "
        "forge one": [_join(forged, after=mark), _join(forged, after=mark)[:-1]],
        "the marks are spelt in letters, as ordinary tokens: append the number "
        "`end_id`": [
            encode(spelt),
            encode(spelt + END_OF_TEXT),
            _join([encode(text + END_OF_TEXT) for text in TEXTS], after=[]),
            _join(pieces, after=encode(END_OF_TEXT)),
        ],
        "the empty text is left out: it has a mark too": [
            _join([piece for piece in pieces if piece], after=mark)
        ],
    }
    for sentence, streams in by_mistake.items():
        require(tokens not in streams, sentence)
    require_value("the stream", tokens, _join(pieces, after=mark), {})


def _require_text_starts(starts, pieces):
    ends = [len(_join(pieces[: i + 1], after=[0])) for i in range(len(pieces))]
    expected = [0, *ends[:-1]]
    by_mistake = {
        "the starts do not count the marks: each takes a place in the stream": [
            len(_join(pieces[:i], after=[])) for i in range(len(pieces))
        ],
        "the starts are the places of the marks: note the length of the stream before "
        "a text is added": [end - 1 for end in ends],
        "the starts are the places behind the marks: note the length of the stream "
        "before a text is added": ends,
        "the first text has no start: it begins at 0": ends[:-1],
        "there is a start too many: no text begins where the stream ends": (
            [*expected, ends[-1]]
        ),
    }
    for sentence, wrong in by_mistake.items():
        require(starts != wrong, sentence)
    require(starts == expected, f"the starts should be {expected}, not {starts}")


def _join(pieces, after):
    """The tokens of all pieces in one row, with those of `after` behind each."""
    return [token for piece in pieces for token in [*piece, *after]]


@check
def streamed_text(answer):
    """Whole text, text with the sign itself, text that is cut, bytes that fit nothing;
    and the whole text again, to see that nothing is left from the call before."""
    tokenizer = load_tokenizer("gpt2")
    ids = tokenizer.encode_ordinary(SENTENCE)
    _require_streamed(answer, ids, "")
    _require_streamed(
        answer,
        tokenizer.encode_ordinary("a � and �"),
        "a � that stands in the text is a character like any other: tell by the bytes, "
        "not by the sign, whether something is unfinished",
    )
    _require_streamed(
        answer,
        ids[:2],
        "where the last token ends in the middle of a character, that is not shown",
    )
    _require_streamed(
        answer, ids, "bytes are left over from the call before: begin each call anew"
    )
    broken = [tokenizer.encode_single_token(byte) for byte in (b"\xe9", b"\x98", b"A")]
    _require_streamed(
        answer,
        broken,
        "bytes that fit no character should show as one �",
        STOPS,
    )
    _require_streamed(
        answer,
        [tokenizer.encode_single_token(bytes([b])) for b in (0xE4, 0xE4, 0xBD, 0xA0)],
        "only bytes that fit no character become �: an unfinished character behind "
        "them waits for its rest",
        STOPS,
    )


def _require_streamed(answer, ids, hint, stops=UNFINISHED):
    """Each token's string is what an incremental decoder gives for its bytes.

    `hint` is said if not, and `stops` if the answer stops with a decoding error.
    """
    tokenizer = load_tokenizer("gpt2")
    given = list(ids)
    try:
        pieces = answer(given, tokenizer)
    except UnicodeDecodeError:
        raise CheckError(stops) from None
    require(given == ids, "`token_ids` is changed: leave the list as it is")
    require(
        isinstance(pieces, (list, tuple)) and all(isinstance(p, str) for p in pieces),
        "a list of strings should come back, one for each token",
    )
    require(
        pieces != [tokenizer.decode([i]) for i in ids] or bool(hint),
        UNFINISHED,
    )
    require(
        len(pieces) == len(ids),
        f"one string for each of {len(ids)} tokens should come back, not "
        f"{len(pieces)}: a token that completes no character has the empty string",
    )
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    expected = [decoder.decode(tokenizer.decode_single_token_bytes(i)) for i in ids]
    if list(pieces) == expected:
        return
    require(
        "".join(pieces) != "".join(expected) or bool(hint),
        "the text is right, but not its timing: a character stands in the string of "
        "the token that brings its last byte",
    )
    i = next(i for i, pair in enumerate(zip(pieces, expected)) if pair[0] != pair[1])
    fault = f"the string of token {i} should be {expected[i]!r}, not {pieces[i]!r}"
    raise CheckError(f"{hint} ({fault})" if hint else fault)
