"""Short stories of the harbour town of Tern Haven, from a grammar of known entropy.

Somebody loses something, seeks it in vain, hears who saw the animal that has it, and
gets it back. The hero, the thing and its colour, the place and the animal are drawn
once and come back later: whoever remembers the beginning can foretell much of the end.
"""

import torch

from llm_helpers.data import LLMDataset
from llm_helpers.grammar import Grammar

WORDS = {
    "person": "Ada Edda Ines Marta Bram Finn Jonas Olaf",
    "trade": "baker cooper fisher painter pilot smith tailor weaver",
    "adjective": "clumsy cold dusty famous gloomy hungry little lonely merry quiet "
    "shabby tall",
    "hour": "morning noon evening night",
    "colour": "black blue green red white yellow",
    "thing": "bell clock compass fiddle kettle lantern map mirror",
    "place": "bakery chapel harbour lighthouse market mill school tower",
    "animal": "cat crab dog goat goose gull magpie seal",
    "spot": "barrels bench boat bridge cart nets stairs table",
    "where": "behind beside near under",
    "food": "bun cake cheese herring pear pie sausage turnip",
    "went": "crept hurried ran rode rowed walked",
    "sang": "cheered danced laughed sang waved whistled",
}
LISTS = {name: words.split() for name, words in WORDS.items()}

WOMEN, MEN = LISTS["person"][:4], LISTS["person"][4:]
FORMS = {"She": dict.fromkeys(WOMEN, "She") | dict.fromkeys(MEN, "He")}

SCENES = {
    "loss": [
        "One {adjective} {hour} {hero=person} the {adjective} {trade} of Tern Haven "
        "lost a {paint=colour} {prize=thing} {where} the {home=place}. -> search",
        "{hero=person} the {adjective} {trade} {went} to the {home=place} one "
        "{adjective} {hour} and lost a {paint=colour} {prize=thing}. -> search",
    ],
    "search": [
        "{hero.She} looked {where} the {spot} and {where} the {adjective} {spot}, but "
        "found only a {adjective} {food}. -> clue",
        "{hero.She} asked a {adjective} {trade} and a {adjective} {trade}, but nobody "
        "near the {home} had the {paint} {prize}. -> clue",
        "{hero.She} sat {where} the {adjective} {spot}, ate a {adjective} {food} and "
        "thought of the {paint} {prize}. -> clue",
    ],
    "clue": [
        "Then {witness=person} the {adjective} {trade} saw a {adjective} "
        "{thief=animal} {where} the {adjective} {spot} with the {paint} {prize}. "
        "-> return",
        "But {witness=person} the {adjective} {trade} met a {adjective} {thief=animal} "
        "{where} the {adjective} {spot}, and the {thief} had the {prize}. -> return",
    ],
    "return": [
        "{hero} gave the {thief} a {adjective} {food} and {went} back to the {home} "
        "with the {paint} {prize}.",
        "For a {adjective} {food} the {thief} gave back the {paint} {prize}, and "
        "{hero} {sang} {where} the {home}.",
        "{hero} {sang} until the {thief} dropped the {paint} {prize}, and all of "
        "the {home} had a {adjective} {food}.",
    ],
}


def tern_haven() -> Grammar:
    """The language of Tern Haven's stories: 130 words, some 75 tokens a story."""
    return Grammar(SCENES, LISTS, FORMS)


def story_windows(
    grammar: Grammar, num_windows: int, context_len: int, seed: int
) -> LLMDataset:
    """Windows of fresh documents, each window from the beginning of one.

    A window of T inputs is T + 1 tokens of `<|endoftext|>`, document, `<|endoftext|>`,
    document and so on; the next window begins with the next document. So the whole
    document up to each target is in view, and `dataset_floor` knows its probability.

    Raises:
        ValueError: `num_windows` or `context_len` is below 1.
    """
    if num_windows < 1:
        raise ValueError(f"num_windows={num_windows} must be at least 1")
    documents, tokens = grammar.documents(seed), []
    for _ in range(num_windows):
        window = [grammar.tokenizer.end_id]
        while len(window) <= context_len:
            window += next(documents)
        tokens += window[: context_len + 1]
    return LLMDataset.from_tokens(torch.tensor(tokens), context_len, context_len + 1)


def dataset_floor(dataset: LLMDataset, grammar: Grammar) -> float:
    """The loss of the grammar itself on a dataset: the floor for every model.

    It is the mean exact negative log-probability of the targets. Over windows of
    `story_windows` its expectation is `grammar.expected_floor(context_len)`, which no
    model that has not seen them can beat in expectation. On given windows it scatters
    around that, and so does a model's loss: compare the two on the same windows.

    Returns:
        Nats per token.

    Raises:
        ValueError: a window does not begin with an end of text and a document.
    """
    windows = (torch.cat([inputs[:1], targets]) for inputs, targets in dataset)
    return torch.cat([grammar.token_nll(window) for window in windows]).mean().item()
