"""Short stories of the harbour town of Tern Haven, from a grammar of known entropy.

Somebody loses something; an animal has it, or a friend; it comes home. The hero, the
thing, its colour, the friend, the animal and both places are drawn once and come back
later, so that a reader who remembers the beginning can foretell much of the end.
"""

import torch

from llm_helpers.data import LLMDataset
from llm_helpers.grammar import Grammar

LISTS = {
    "person": "Ada Edda Ines Marta Bram Finn Jonas Olaf".split(),
    "trade": "baker barber cooper fisher painter pilot smith tailor teacher weaver".split(),
    "adjective": "cold dusty famous funny gloomy golden grey little lonely quiet shabby "
    "wet".split(),
    "hour": "morning noon evening night".split(),
    "thing": "bell clock compass fiddle kettle lantern map mirror".split(),
    "place": "bakery chapel harbour lighthouse market mill school tower".split(),
    "animal": "cat crab dog goat goose gull magpie seal".split(),
    "spot": "barrels bench boat bridge cart nets oven pump stairs table".split(),
    "where": "behind beside near under".split(),
    "food": "bun cake carrot cheese herring pear pie plum sausage turnip".split(),
    "went": "crept hurried ran rode rowed walked".split(),
    "sang": "cheered danced laughed sang waved whistled".split(),
}

WOMEN, MEN = LISTS["person"][:4], LISTS["person"][4:]
FORMS = {"She": dict.fromkeys(WOMEN, "She") | dict.fromkeys(MEN, "He")}

SCENES = {
    "loss": [
        "One {adjective} {hour} {hero=person} the {adjective} {trade} lost a "
        "{looks=adjective} {prize=thing} {where} the {home=place}. -> search",
        "{hero=person} the {adjective} {trade} {went} to the {home=place} one "
        "{adjective} {hour} and lost a {looks=adjective} {prize=thing}. -> search",
    ],
    "search": [
        "{hero.She} looked {where} the {spot} and {where} the {spot}, but found only a "
        "{adjective} {food}. -> clue",
        "{hero.She} asked a {adjective} {trade} and a {adjective} {trade}, but nobody "
        "had the {prize}. -> clue",
        "{hero.She} sat {where} the {spot}, ate a {adjective} {food} and thought of the "
        "{looks} {prize}. -> clue",
    ],
    "clue": [
        "Then {friend=person} the {trade} saw a {adjective} {thief=animal} {where} the "
        "{spot} with the {prize}. -> thief",
        "But {friend=person} the {adjective} {trade} had found the {prize} {where} the "
        "{spot}. -> friend",
    ],
    "thief": [
        "{hero} gave the {thief} a {adjective} {food} and {went} back to the {home} with "
        "the {looks} {prize}.",
        "For a {adjective} {food} the {thief} gave back the {looks} {prize}, and {hero} "
        "{went} to the {home} and {sang}.",
    ],
    "friend": [
        "{hero} gave {friend} a {adjective} {food} and {went} back to the {home} with "
        "the {looks} {prize}.",
        "For a {adjective} {food} {friend} gave back the {looks} {prize}, and {hero} "
        "{went} to the {home} and {sang}.",
    ],
}


def tern_haven() -> Grammar:
    return Grammar(SCENES, LISTS, FORMS)


def story_windows(
    grammar: Grammar, num_windows: int, context_len: int, seed: int
) -> LLMDataset:
    """Windows of fresh stories, each of which begins with a story.

    A window is `<|endoftext|>`, a story, `<|endoftext|>`, a story, and so on, cut after
    context_len + 1 tokens; the next window begins with the next story. So every target
    has the whole of its story before it, and `dataset_floor` knows its probability.
    """
    stories, tokens = grammar.documents(seed), []
    for _ in range(num_windows):
        window = [grammar.tokenizer.end_id]
        while len(window) <= context_len:
            window += next(stories)
        tokens += window[: context_len + 1]
    return LLMDataset.from_tokens(torch.tensor(tokens), context_len, context_len + 1)


def dataset_floor(dataset: LLMDataset, grammar: Grammar) -> float:
    """Mean exact negative log-probability of a dataset's targets, in nats per token.

    What a model that knows the grammar would score on these windows. Its expectation
    over windows is `grammar.expected_floor(context_len)`.
    """
    windows = (torch.cat([inputs[:1], targets]) for inputs, targets in dataset)
    return torch.cat([grammar.token_nll(window) for window in windows]).mean().item()
