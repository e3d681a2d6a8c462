"""A grammar's documents by hand: slot by slot in plain text, with no states."""

import re

from llm_helpers.tokenizer import END_OF_TEXT

SLOT = re.compile(r"\{(?:(\w+)=)?(\w+)(?:\.(\w+))?\}")


def derivations(scenes, lists, forms, text=None):
    """(probability, text) of every derivation, or of those alone that write `text`."""

    def from_scene(name, written, memory):
        for line in scenes[name]:
            for p, document in from_line(written, line, memory):
                yield p / len(scenes[name]), document

    def from_line(written, line, memory):
        slot = SLOT.search(line)
        if slot is None:
            line, _, scene = line.partition("->")
            if scene:
                yield from from_scene(scene.strip(), written + line, memory)
            elif text in (None, written + line + END_OF_TEXT):
                yield 1.0, written + line + END_OF_TEXT
            return
        variable, name, form = slot.groups()
        words = options(name, form, memory)
        for word in words:
            longer = written + line[: slot.start()] + word
            if text is None or text.startswith(longer):
                held = memory | {variable: word} if variable else memory
                for p, document in from_line(longer, line[slot.end() :], held):
                    yield p / len(words), document

    def options(name, form, memory):
        if name in lists:
            return [word for word in lists[name] if word not in memory.values()]
        return [forms[form][memory[name]] if form else memory[name]]

    yield from from_scene(next(iter(scenes)), "", {})
