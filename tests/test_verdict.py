"""What every check of an exercise does, whatever it checks."""

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

import llm_helpers
from llm_helpers.checks import CheckError
from llm_helpers.checks.verdict import check, require, require_value


@check
def double(answer):
    """A check: the answer doubles its argument."""
    require_value("double(3)", answer(3), 6, {"the argument is squared": 9})


def said_of(answer):
    with pytest.raises(CheckError) as caught:
        double(answer)
    return str(caught.value)


def test_a_right_answer_passes_and_says_so(capsys):
    double(lambda x: 2 * x)
    assert capsys.readouterr().out == "double passes.\n"


def test_a_known_mistake_is_named():
    assert said_of(lambda x: x * x) == "the argument is squared"


def test_another_value_is_shown_beside_the_right_one():
    assert said_of(lambda x: x) == "double(3) should be 6, not 3"


def test_a_value_of_another_shape_is_told_both_shapes():
    said = said_of(lambda x: torch.tensor([6, 6]))
    assert said == "double(3) should have the shape (), not (2,)"


def test_a_long_answer_shows_where_it_differs_most():
    row = torch.zeros(3, 4)
    row[2, 1] = 0.5
    with pytest.raises(CheckError) as caught:
        require_value("the row", row, torch.zeros(3, 4), {})
    assert str(caught.value) == "the row at [2, 1] should be 0.0000, not 0.5000"


def test_a_short_answer_is_shown_whole():
    with pytest.raises(CheckError, match=r"should be \[0.0, 1.0, 2.0\], not \[1.0, 1"):
        require_value("the row", torch.ones(3), torch.arange(3.0), {})


def test_nothing_returned_is_named():
    assert said_of(lambda x: None) == "double(3) is None: is a `return` missing?"


def test_what_is_no_number_is_shown():
    assert said_of(str) == "double(3) should be made of numbers, not '3'"


def test_an_error_in_the_answer_is_told_in_its_own_words():
    said = said_of(lambda x: x.item())
    assert said.startswith("`double` stops with AttributeError")
    assert said.endswith("'int' object has no attribute 'item'")


def test_an_error_in_the_answer_is_told_with_its_line():
    def double(x):
        return x + unknown  # noqa: F821

    assert "at the line `return x + unknown" in said_of(double)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(6, "should be a function or a class, not int"), (llm_helpers.perplexity, "own")],
)
def test_an_answer_that_is_not_the_readers_function_is_refused(answer, said):
    assert said in said_of(answer)


def stub(x):
    raise NotImplementedError()


def test_a_stub_is_told_what_to_do():
    names = {}
    exec("def double(x):\n    raise NotImplementedError()", names)
    assert said_of(names["double"]).startswith("`double` is not written yet")


def test_an_answer_that_calls_a_stub_is_told_which():
    said = said_of(lambda x: stub(x))
    assert said == "`double` calls `stub`, which is not written yet: write that first"


def test_an_error_in_a_class_is_told_with_its_line():
    class Double:
        def __init__(self, x):
            self.x = x.missing

    assert "at the line `self.x = x.missing`" in said_of(Double)


def test_checking_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    double(lambda x: x + 3 + 0 * torch.rand(()))
    assert torch.equal(torch.get_rng_state(), before)


def test_every_check_starts_from_the_same_seed():
    drawn = []

    @check
    def draw(answer):
        drawn.append(answer())

    draw(lambda: torch.rand(()))
    torch.rand(5)
    draw(lambda: torch.rand(()))
    assert torch.equal(*drawn)


def test_a_notebook_shows_the_sentence_and_no_traceback(capsys):
    shell = InteractiveShell.instance()
    shell.user_ns.update(require=require)
    shell.run_cell("require(False, 'the targets are not moved')")
    shown = capsys.readouterr()
    assert "Not yet:" in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err
