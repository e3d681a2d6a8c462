"""Cross entropy in nats per token, of a batch and of a loader."""

import math

import pytest
import torch
from tiny import (
    CharTokenizer,
    copy_of,
    same,
    tiny_dataset,
    tiny_model,
    train_batches,
)
from torch import nn
from torch.utils.data import DataLoader

from llm_helpers import calc_loss_batch, calc_loss_loader, evaluation_mode, perplexity

VOCABULARY_SIZE = CharTokenizer.n_vocab


class Lookup(nn.Module):
    """Logits that depend on the token alone: a table of one row for each."""

    def __init__(self, probas):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(probas).log())

    def forward(self, ids):
        return self.logits[ids]


class Broken(nn.Module):
    """A model whose forward raises."""

    def __init__(self):
        super().__init__()
        self.inner = tiny_model(dropout=0.5)

    def forward(self, ids):
        raise RuntimeError("broken")


def modes_of(model):
    return [module.training for module in model.modules()]


# One batch


def test_the_loss_is_the_mean_negative_log_probability():
    model = Lookup([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8], [0.2, 0.3, 0.5]])
    inputs, targets = torch.tensor([[0, 1], [2, 0]]), torch.tensor([[1, 2], [1, 0]])
    expected = -sum(map(math.log, (0.25, 0.8, 0.3, 0.5))) / 4
    loss = calc_loss_batch(inputs, targets, model, "cpu")
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_the_loss_is_a_scalar_tensor(model):
    inputs, targets = next(iter(train_batches()))
    assert calc_loss_batch(inputs, targets, model, "cpu").shape == ()


def test_the_loss_of_a_batch_can_be_differentiated(model):
    inputs, targets = next(iter(train_batches()))
    calc_loss_batch(inputs, targets, model, torch.device("cpu")).backward()
    assert model.tok_emb.weight.grad.abs().sum() > 0


def test_an_untrained_model_scores_about_the_log_of_the_vocabulary(model):
    inputs, targets = next(iter(train_batches()))
    loss = calc_loss_batch(inputs, targets, model, "cpu").item()
    assert loss == pytest.approx(math.log(VOCABULARY_SIZE), abs=0.5)


def test_a_batch_leaves_the_models_mode_alone():
    model = tiny_model(dropout=0.5)
    calc_loss_batch(*next(iter(train_batches())), model, "cpu")
    assert model.training


@pytest.mark.parametrize("token_id", [-1, VOCABULARY_SIZE])
def test_an_input_id_outside_the_vocabulary_is_refused(model, token_id):
    inputs, targets = torch.tensor([[0, token_id]]), torch.tensor([[1, 2]])
    with pytest.raises(
        ValueError, match=f"token id {token_id} is outside .* of {VOCABULARY_SIZE} "
    ):
        calc_loss_batch(inputs, targets, model, "cpu")


@pytest.mark.parametrize("token_id", [-1, VOCABULARY_SIZE, 50256])
def test_a_target_id_outside_the_vocabulary_is_refused(model, token_id):
    inputs, targets = torch.tensor([[0, 1]]), torch.tensor([[1, token_id]])
    with pytest.raises(
        ValueError,
        match=f"token id {token_id} is outside the vocabulary of {VOCABULARY_SIZE} "
        "tokens; build the model with the tokenizer's n_vocab",
    ):
        calc_loss_batch(inputs, targets, model, "cpu")


# A loader


def test_a_loader_of_equal_batches_gives_the_mean_of_their_losses(model):
    batches = list(train_batches())
    losses = [calc_loss_batch(*batch, model, "cpu").item() for batch in batches]
    assert calc_loss_loader(batches, model, "cpu") == pytest.approx(sum(losses) / 7)


def test_a_short_last_batch_weighs_what_it_holds(model):
    dataset = tiny_dataset(5)
    in_one_batch = calc_loss_batch(*next(iter(DataLoader(dataset, 5))), model, "cpu")
    loss = calc_loss_loader(DataLoader(dataset, batch_size=2), model, "cpu")
    assert loss == pytest.approx(in_one_batch.item(), abs=1e-6)


def test_the_loss_does_not_depend_on_the_batch_size(model):
    dataset = tiny_dataset(7)
    losses = [calc_loss_loader(DataLoader(dataset, b), model, "cpu") for b in (1, 3, 7)]
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-6)


def test_batches_of_different_lengths_are_averaged_over_tokens():
    model = Lookup([[0.5, 0.5], [0.1, 0.9]])
    batches = [
        (torch.tensor([[0, 0, 0]]), torch.tensor([[0, 1, 0]])),
        (torch.tensor([[1]]), torch.tensor([[0]])),
    ]
    expected = -(3 * math.log(0.5) + math.log(0.1)) / 4
    assert calc_loss_loader(batches, model, "cpu") == pytest.approx(expected)


def test_ignored_targets_do_not_count():
    model = Lookup([[0.5, 0.5], [0.1, 0.9]])
    batches = [
        (torch.tensor([[0, 0]]), torch.tensor([[0, -100]])),
        (torch.tensor([[1, 1]]), torch.tensor([[0, 0]])),
    ]
    expected = -(math.log(0.5) + 2 * math.log(0.1)) / 3
    assert calc_loss_loader(batches, model, "cpu") == pytest.approx(expected)


def test_a_batch_whose_targets_are_all_ignored_does_not_count():
    model = Lookup([[0.5, 0.5], [0.1, 0.9]])
    batches = [
        (torch.tensor([[0, 0]]), torch.tensor([[-100, -100]])),
        (torch.tensor([[1, 1]]), torch.tensor([[0, 0]])),
    ]
    assert calc_loss_loader(batches, model, "cpu") == pytest.approx(-math.log(0.1))


def test_num_batches_takes_that_many_from_the_start(model):
    batches = list(train_batches())
    assert calc_loss_loader(batches, model, "cpu", 2) == pytest.approx(
        calc_loss_loader(batches[:2], model, "cpu")
    )


def test_more_batches_than_there_are_means_all_of_them(model):
    batches = list(train_batches())
    assert calc_loss_loader(batches, model, "cpu", 99) == calc_loss_loader(
        batches, model, "cpu"
    )


def test_the_loss_of_a_loader_is_a_float(model):
    assert type(calc_loss_loader(train_batches(), model, "cpu")) is float


def test_a_shuffled_loader_gives_the_same_loss_at_every_call(model):
    loader = train_batches()
    losses = {calc_loss_loader(loader, model, "cpu", 2) for _ in range(3)}
    assert len(losses) == 1


# Evaluation leaves everything as it was


def test_a_loader_is_evaluated_without_dropout():
    with_dropout, without = tiny_model(dropout=0.5), tiny_model(dropout=0.0)
    batches = list(train_batches())
    assert calc_loss_loader(batches, with_dropout, "cpu") == calc_loss_loader(
        batches, without, "cpu"
    )


def test_evaluation_puts_back_the_mode_of_every_module():
    model = tiny_model(dropout=0.5)
    model.trf_blocks[0].att.eval()
    before = modes_of(model)
    calc_loss_loader(train_batches(), model, "cpu")
    assert modes_of(model) == before


def test_evaluation_puts_back_the_modes_when_the_model_raises():
    model = Broken()
    model.inner.trf_blocks[0].eval()
    before = modes_of(model)
    with pytest.raises(RuntimeError, match="broken"):
        calc_loss_loader(train_batches(), model, "cpu")
    assert modes_of(model) == before


def test_gradients_are_on_again_when_the_model_raises():
    with pytest.raises(RuntimeError, match="broken"):
        calc_loss_loader(train_batches(), Broken(), "cpu")
    assert torch.is_grad_enabled()


def test_evaluation_leaves_no_gradient(model):
    calc_loss_loader(train_batches(), model, "cpu")
    assert [p for p in model.parameters() if p.grad is not None] == []


def test_evaluation_keeps_the_gradients_that_are_there(model):
    calc_loss_batch(*next(iter(train_batches())), model, "cpu").backward()
    before = copy_of({name: p.grad for name, p in model.named_parameters()})
    calc_loss_loader(train_batches(), model, "cpu")
    assert same({name: p.grad for name, p in model.named_parameters()}, before)


def test_the_model_is_called_without_gradients():
    seen = []
    model = tiny_model()
    model.register_forward_hook(lambda *args: seen.append(args[-1].requires_grad))
    calc_loss_loader(train_batches(), model, "cpu", 2)
    assert seen == [False, False]


@pytest.mark.parametrize("shuffle", [True, False])
def test_evaluation_leaves_the_global_rng_alone(shuffle):
    loader = DataLoader(tiny_dataset(), batch_size=2, shuffle=shuffle)
    before = torch.get_rng_state()
    calc_loss_loader(loader, tiny_model_without_seeding(), "cpu")
    assert torch.equal(torch.get_rng_state(), before)


def tiny_model_without_seeding():
    with torch.random.fork_rng(devices=[]):
        return tiny_model(dropout=0.5)


def test_evaluation_leaves_the_global_rng_alone_for_any_iterable(model):
    class Drawing(list):
        """Batches that are shuffled with the global generator when they are read."""

        def __iter__(self):
            order = torch.randperm(len(self)).tolist()
            return iter([self[i] for i in order])

    batches = Drawing(train_batches())
    before = torch.get_rng_state()
    calc_loss_loader(batches, model, "cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_evaluation_leaves_the_loaders_generator_alone(model):
    loader = train_batches(generator=torch.Generator().manual_seed(5))
    before = loader.generator.get_state()
    calc_loss_loader(loader, model, "cpu")
    assert torch.equal(loader.generator.get_state(), before)


def test_evaluation_mode_turns_off_training_inside():
    model = tiny_model(dropout=0.5)
    with evaluation_mode(model):
        inside = modes_of(model)
    assert not any(inside)


# Refused at the door


@pytest.mark.parametrize(
    "loader",
    [[], DataLoader(tiny_dataset(1), batch_size=2, drop_last=True)],
    ids=["no batches", "all dropped"],
)
def test_an_empty_loader_is_refused(model, loader):
    with pytest.raises(
        ValueError, match=r"data loader is empty.*; add text, lower batch_size, or set"
    ):
        calc_loss_loader(loader, model, "cpu")


@pytest.mark.parametrize("num_batches", [0, -1])
def test_fewer_than_one_batch_is_refused(model, num_batches):
    with pytest.raises(
        ValueError, match=f"num_batches={num_batches} must be at least 1, or None"
    ):
        calc_loss_loader(train_batches(), model, "cpu", num_batches)


# Perplexity


def test_the_perplexity_of_a_guess_among_v_tokens_is_v():
    assert perplexity(math.log(50257)) == pytest.approx(50257)


def test_a_certain_model_has_the_perplexity_1():
    assert perplexity(0.0) == 1.0


def test_a_perplexity_beyond_the_largest_float_is_infinite():
    assert perplexity(1000.0) == math.inf
