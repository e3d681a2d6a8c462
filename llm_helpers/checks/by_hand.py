"""Refuses PyTorch's own version of what an exercise asks for."""

from torch.overrides import TorchFunctionMode

from llm_helpers.checks.verdict import require


class ByHand(TorchFunctionMode):
    """While it is entered, a call of one of these functions is a CheckError.

    It sees functions and methods of tensors alike, under whatever name they were
    imported; functions of the reader with the same names are left alone.
    """

    def __init__(self, *refused: str):
        super().__init__()
        self.refused = refused

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", "").removeprefix("special_")
        require(
            name not in self.refused,
            f"PyTorch's own `{name}` is called: this exercise is to be done by hand",
        )
        return func(*args, **(kwargs or {}))
