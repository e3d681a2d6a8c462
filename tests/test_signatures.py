"""The drop-in contract: names and order of what readers of the series call."""

import inspect

import pytest

import llm_helpers

PRETRAIN_PARAMETERS = (
    *("model", "optimizer", "train_loader", "num_epochs", "device", "eval_freq"),
    *("eval_iter", "tokenizer", "start_context", "save_freq", "checkpoint_dir"),
    *("checkpoint", "val_loader"),
)
GPT_PARAMETERS = (
    *("embedding_dim", "num_layers", "num_heads", "context_len", "vocabulary_size"),
    *("dropout", "qkv_bias"),
)
POSITIONAL = {
    "GPTModel": GPT_PARAMETERS,
    "LLMDataset": (
        *("data_path", "vocabulary", "special_token_id", "context_len", "stride"),
    ),
    "generate_text": (
        *("model", "start_context", "max_new_tokens", "tokenizer", "context_size"),
        *("top_k", "compact_format"),
    ),
    "calc_loss_batch": ("input_batch", "target_batch", "model", "device"),
    "calc_loss_loader": ("data_loader", "model", "device", "num_batches"),
    "pretrain_model": PRETRAIN_PARAMETERS,
    "val_and_save": (
        *("model", "optimizer", "train_loader", "val_loader", "epoch", "global_step"),
        *("eval_freq", "eval_iter", "start_context", "tokenizer", "save_freq"),
        *("checkpoint_dir", "checkpoint", "device"),
    ),
    "plot_losses": ("epochs_seen", "tokens_seen", "train_losses", "val_losses"),
    "load_tokenizer": ("name",),
}
DEFAULTS = {
    "generate_text": {"top_k": None, "compact_format": False},
    "calc_loss_loader": {"num_batches": None},
    "pretrain_model": {"checkpoint": None, "val_loader": None},
    "load_tokenizer": {"name": "gpt2"},
}


def parameters_of(name):
    return inspect.signature(getattr(llm_helpers, name)).parameters.values()


def positional(name):
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [p for p in parameters_of(name) if p.kind == kind]


@pytest.mark.parametrize("name", POSITIONAL)
def test_positional_parameters_are_those_of_the_contract(name):
    assert tuple(p.name for p in positional(name)) == POSITIONAL[name]


@pytest.mark.parametrize("name", POSITIONAL)
def test_only_the_contracts_defaults_can_be_left_out(name):
    defaults = {p.name: p.default for p in positional(name) if p.default is not p.empty}
    assert defaults == DEFAULTS.get(name, {})


@pytest.mark.parametrize("name", POSITIONAL)
def test_further_parameters_are_keyword_only_with_a_default(name):
    further = [p for p in parameters_of(name) if p.name not in POSITIONAL[name]]
    assert [
        p.name for p in further if p.kind != p.KEYWORD_ONLY or p.default is p.empty
    ] == []


def test_plot_losses_takes_axes_by_keyword():
    parameters = inspect.signature(llm_helpers.plot_losses).parameters
    assert parameters["ax"].kind == inspect.Parameter.KEYWORD_ONLY


def test_a_config_has_the_models_parameters_in_their_order():
    parameters = inspect.signature(llm_helpers.GPTConfig).parameters
    assert tuple(parameters) == GPT_PARAMETERS


def test_a_config_takes_keywords_only():
    parameters = inspect.signature(llm_helpers.GPTConfig).parameters.values()
    assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY}


def test_a_training_run_has_pretrain_models_parameters():
    names = set(inspect.signature(llm_helpers.TrainingRun).parameters)
    assert set(PRETRAIN_PARAMETERS) <= names


@pytest.mark.parametrize(
    "name",
    [
        *("LayerNorm", "GELU", "FeedForward", "MultiHeadAttention"),
        *("TransformerBlock", "GPTModel"),
    ],
)
def test_the_models_parts_can_be_imported(name):
    assert inspect.isclass(getattr(llm_helpers, name))


@pytest.mark.parametrize("name", llm_helpers.__all__)
def test_every_public_name_is_there(name):
    assert hasattr(llm_helpers, name)


@pytest.mark.parametrize(
    "name", [n for n in llm_helpers.__all__ if callable(getattr(llm_helpers, n))]
)
def test_every_public_function_and_class_says_what_it_does(name):
    assert inspect.getdoc(getattr(llm_helpers, name))
