"""From a folder of texts to windows of token ids, and loaders over them."""

import pytest
import torch
from tiny import (
    ALPHABET,
    END_OF_TEXT,
    CharTokenizer,
    same,
    tiny_dataset,
    train_batches,
)
from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler

from llm_helpers import LLMDataset, load_tokenizer, split_dataset
from llm_helpers.data import evaluation_loader


def windows(path, context_len=4, stride=4, special_token_id=END_OF_TEXT):
    return LLMDataset(path, CharTokenizer(), special_token_id, context_len, stride)


def stream(path):
    """The text of a dataset's token stream; | ends a document."""
    return CharTokenizer().decode(windows(path).tokens.tolist())


# The token stream


def test_files_are_read_in_sorted_order(write_texts):
    path = write_texts({"b.txt": "second", "a.txt": "first", "c.txt": "third"})
    assert stream(path) == "first|second|third|"


def test_every_document_is_followed_by_the_special_token(write_texts):
    dataset = windows(write_texts({"a.txt": "aaaa", "b.txt": "bb"}), special_token_id=5)
    assert [i for i, token in enumerate(dataset.tokens) if token == 5] == [4, 7]


def test_a_single_file_can_be_given(write_texts):
    path = write_texts({"a.txt": "first", "b.txt": "second"})
    assert stream(path / "b.txt") == "second|"


def test_a_path_may_be_a_string(write_texts):
    assert stream(str(write_texts({"a.txt": "first"}))) == "first|"


def test_a_path_may_have_spaces_and_chinese_characters(write_texts):
    path = write_texts({"第一 章.txt": "first"}, folder="my texts/武侠 [1]")
    assert stream(path) == "first|"


def test_files_of_other_kinds_are_left_out(write_texts):
    path = write_texts({"a.txt": "first", "notes.md": "x", "a.txt.bak": "x"})
    assert stream(path) == "first|"


def test_a_byte_order_mark_is_dropped(write_texts):
    path = write_texts({"a.txt": b"\xef\xbb\xbffirst"})
    assert stream(path) == "first|"


def test_windows_line_ends_become_newlines(write_texts):
    path = write_texts({"a.txt": b"one\r\ntwo\r\n"})
    assert stream(path) == "one\ntwo\n|"


def test_chinese_text_is_read_as_utf8(write_texts):
    path = write_texts({"a.txt": "剑光一闪，茶碗仍在原处。"})
    dataset = LLMDataset(path, "gpt2", 50256, 4, 4)
    text = load_tokenizer().decode(dataset.tokens.tolist())
    assert text == "剑光一闪，茶碗仍在原处。<|endoftext|>"


def test_a_vocabulary_may_be_named(write_texts):
    path = write_texts({"a.txt": "Every effort moves you"})
    dataset = LLMDataset(path, "gpt2", 50256, 4, 4)
    assert dataset.tokens.tolist() == [6109, 3626, 6100, 345, 50256]


def test_end_of_text_in_a_text_is_plain_text(write_texts):
    path = write_texts({"a.txt": "one<|endoftext|>two three"})
    dataset = LLMDataset(path, "gpt2", 50256, 4, 4)
    assert dataset.tokens.tolist().count(50256) == 1


# Windows


def test_an_item_is_inputs_and_targets_of_int64(write_texts):
    inputs, targets = windows(write_texts({"a.txt": "abcdefgh"}))[0]
    assert (inputs.dtype, targets.dtype) == (torch.int64, torch.int64)


def test_a_window_is_context_len_tokens_long(write_texts):
    dataset = windows(write_texts({"a.txt": "abcdefgh"}), context_len=3)
    assert [len(ids) for ids in dataset[0]] == [3, 3]


def test_targets_are_the_inputs_moved_by_one(write_texts):
    dataset = windows(write_texts({"a.txt": "abcdefgh"}), context_len=4)
    texts = [CharTokenizer().decode(ids) for ids in dataset[0]]
    assert texts == ["abcd", "bcde"]


def test_the_targets_of_neighbouring_windows_leave_no_gap(write_texts):
    dataset = windows(write_texts({"a.txt": "abcdefgh"}), context_len=4)
    targets = [CharTokenizer().decode(target) for _, target in dataset]
    assert targets == ["bcde", "fgh|"]


def test_windows_reach_across_documents(write_texts):
    dataset = windows(write_texts({"a.txt": "ab", "b.txt": "cdefg"}), context_len=4)
    assert CharTokenizer().decode(dataset[0][0]) == "ab|c"


def test_windows_start_stride_tokens_apart(write_texts):
    dataset = windows(write_texts({"a.txt": "abcdefgh"}), context_len=4, stride=2)
    assert [CharTokenizer().decode(ids) for ids, _ in dataset] == [
        "abcd",
        "cdef",
        "efgh",
    ]


@pytest.mark.parametrize(
    ("num_tokens", "context_len", "stride", "expected"),
    [
        (5, 4, 4, 1),
        (8, 4, 4, 1),
        (9, 4, 4, 2),
        (9, 4, 1, 5),
        (9, 4, 7, 1),
        (12, 4, 7, 2),
    ],
)
def test_every_whole_window_counts(num_tokens, context_len, stride, expected):
    dataset = LLMDataset.from_tokens(torch.arange(num_tokens), context_len, stride)
    assert len(dataset) == expected


def test_iterating_a_dataset_ends_after_its_last_window():
    assert len(list(tiny_dataset(num_windows=3))) == 3


def test_a_negative_index_counts_from_the_end():
    dataset = tiny_dataset(num_windows=3)
    assert same(dataset[-1], dataset[2])


@pytest.mark.parametrize("index", [3, -4])
def test_a_window_beyond_the_end_is_an_index_error(index):
    with pytest.raises(IndexError, match=f"window {index} of 3"):
        tiny_dataset(num_windows=3)[index]


# Splitting


def test_a_split_loses_no_token_and_shares_none():
    dataset = LLMDataset.from_tokens(torch.arange(100), 4, 4)
    train, val = split_dataset(dataset, 0.2)
    assert torch.cat([train.tokens, val.tokens]).tolist() == list(range(100))


def test_the_windows_of_a_split_do_not_overlap():
    dataset = LLMDataset.from_tokens(torch.arange(100), 4, 1)
    parts = split_dataset(dataset, 0.2)
    train, val = (
        {i for w in part for ids in w for i in ids.tolist()} for part in parts
    )
    assert not train & val


def test_a_split_keeps_the_share_asked_for():
    dataset = LLMDataset.from_tokens(torch.arange(100), 4, 4)
    _, val = split_dataset(dataset, 0.2)
    assert len(val.tokens) == 20


def test_a_split_keeps_context_and_stride():
    train, val = split_dataset(LLMDataset.from_tokens(torch.arange(100), 6, 3), 0.2)
    assert {(part.context_len, part.stride) for part in (train, val)} == {(6, 3)}


@pytest.mark.parametrize("val_fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_outside_0_to_1_is_refused(val_fraction):
    with pytest.raises(
        ValueError, match=f"val_fraction={val_fraction} must lie between 0 and 1"
    ):
        split_dataset(tiny_dataset(), val_fraction)


def test_a_split_with_a_part_shorter_than_a_window_is_refused():
    dataset = LLMDataset.from_tokens(torch.arange(100), 8, 8)
    with pytest.raises(ValueError, match="holds 5 tokens, fewer than one window"):
        split_dataset(dataset, 0.05)


# Refused at the door


def test_a_folder_without_texts_is_refused(write_texts):
    path = write_texts({"notes.md": "x"})
    with pytest.raises(
        FileNotFoundError, match=r"texts holds no \.txt file; put UTF-8"
    ):
        windows(path)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no file or folder .*nowhere; check data_path"
    ):
        windows(tmp_path / "nowhere")


@pytest.mark.parametrize("encoding", ["gbk", "big5", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("text", ["茶碗仍在原处。", "A lamp. " * 9 + "茶碗"])
def test_chinese_text_in_another_encoding_is_refused(write_texts, text, encoding):
    text = text.replace("处", "處") if encoding == "big5" else text
    path = write_texts({"a.txt": text.encode(encoding)})
    with pytest.raises(ValueError, match=r"a\.txt is not UTF-8 .*encoding UTF-8"):
        LLMDataset(path, "gpt2", 50256, 4, 4)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_english_text_in_utf16_or_utf32_is_refused(write_texts, encoding):
    path = write_texts({"a.txt": "The lamp went out.".encode(encoding)})
    with pytest.raises(ValueError, match=r"a\.txt is not UTF-8 .*encoding UTF-8"):
        LLMDataset(path, "gpt2", 50256, 4, 4)


def test_a_text_shorter_than_one_window_is_refused(write_texts):
    path = write_texts({"a.txt": "abc"})
    with pytest.raises(
        ValueError,
        match=r"texts holds 4 tokens, fewer than one window of context_len=4.*add text",
    ):
        windows(path, context_len=4)


def test_an_empty_text_is_refused(write_texts):
    with pytest.raises(ValueError, match="holds 1 tokens, fewer than one window"):
        windows(write_texts({"a.txt": ""}), context_len=4)


@pytest.mark.parametrize("special_token_id", [-1, len(ALPHABET), 50256])
def test_a_special_token_outside_the_vocabulary_is_refused(
    write_texts, special_token_id
):
    path = write_texts({"a.txt": "abcdefgh"})
    with pytest.raises(
        ValueError,
        match=f"special_token_id={special_token_id} is outside the vocabulary of "
        f"{len(ALPHABET)} tokens; GPT-2's end of text is 50256",
    ):
        windows(path, special_token_id=special_token_id)


@pytest.mark.parametrize("name", ["context_len", "stride"])
@pytest.mark.parametrize("value", [0, -1])
def test_a_window_without_length_or_stride_is_refused(write_texts, name, value):
    path = write_texts({"a.txt": "abcdefgh"})
    with pytest.raises(ValueError, match=f"{name}={value} must be at least 1"):
        windows(path, **{name: value})


# Evaluation's own loader


def loader_with_its_own_generator():
    return train_batches(generator=torch.Generator().manual_seed(5))


def test_an_evaluation_loader_leaves_the_global_rng_alone():
    before = torch.get_rng_state()
    list(evaluation_loader(train_batches()))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_evaluation_loader_leaves_the_loaders_generator_alone():
    loader = loader_with_its_own_generator()
    before = loader.generator.get_state()
    list(evaluation_loader(loader))
    assert torch.equal(loader.generator.get_state(), before)


@pytest.mark.parametrize("make", [train_batches, loader_with_its_own_generator])
def test_an_evaluation_reads_the_same_batches_at_every_call(make):
    loader = make()
    assert same(list(evaluation_loader(loader)), list(evaluation_loader(loader)))


def test_an_evaluation_of_a_shuffled_loader_samples_all_of_it():
    inputs = torch.cat([inputs for inputs, _ in evaluation_loader(train_batches())])
    in_order = torch.stack([inputs for inputs, _ in tiny_dataset(14)])
    assert not torch.equal(inputs, in_order)
    assert sorted(inputs.tolist()) == sorted(in_order.tolist())


def test_an_evaluation_of_an_unshuffled_loader_keeps_its_order():
    loader = DataLoader(tiny_dataset(5), batch_size=2)
    assert same(list(evaluation_loader(loader)), list(loader))


def test_an_evaluation_loader_drops_a_ragged_batch_where_the_loader_does():
    loader = DataLoader(tiny_dataset(5), batch_size=2, drop_last=True)
    assert len(evaluation_loader(loader)) == 2


def test_an_evaluation_loader_collates_as_the_loader_does():
    loader = DataLoader(tiny_dataset(4), batch_size=2, collate_fn=len)
    assert list(evaluation_loader(loader)) == [2, 2]


def test_an_evaluation_reads_only_what_the_loaders_sampler_names():
    dataset = tiny_dataset(8)
    loader = DataLoader(dataset, batch_size=2, sampler=SubsetRandomSampler([1, 4, 6]))
    read = torch.cat([inputs for inputs, _ in evaluation_loader(loader)]).tolist()
    assert sorted(read) == sorted(dataset[i][0].tolist() for i in (1, 4, 6))


def test_an_evaluation_of_a_subset_sampler_leaves_the_global_rng_alone():
    loader = DataLoader(
        tiny_dataset(8), batch_size=2, sampler=SubsetRandomSampler([1, 4, 6])
    )
    before = torch.get_rng_state()
    list(evaluation_loader(loader))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_evaluation_keeps_batches_that_a_batch_sampler_makes():
    batches = [[0, 1, 2], [3, 4], [5]]
    loader = DataLoader(tiny_dataset(6), batch_sampler=batches)
    assert [len(inputs) for inputs, _ in evaluation_loader(loader)] == [3, 2, 1]


def test_an_evaluation_of_a_loader_without_batching_reads_its_items():
    batches = list(train_batches())
    loader = DataLoader(batches, batch_size=None)
    assert same([list(batch) for batch in evaluation_loader(loader)], batches)


def test_an_iterable_dataset_is_batched_as_the_loader_does():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(tiny_dataset(5))

    loader = DataLoader(Stream(), batch_size=2, drop_last=True)
    assert [len(inputs) for inputs, _ in evaluation_loader(loader)] == [2, 2]


def test_an_iterable_of_batches_is_read_as_it_is():
    batches = list(train_batches())
    assert evaluation_loader(batches) is batches


def test_a_persistent_workers_loader_goes_on_while_it_is_evaluated():
    loader = train_batches(
        generator=torch.Generator().manual_seed(5),
        num_workers=1,
        persistent_workers=True,
    )
    expected = list(loader_with_its_own_generator())
    running = iter(loader)
    read = [next(running), next(running)]
    list(evaluation_loader(loader))
    read += list(running)
    assert same(read, expected)
