"""The sizes of a GPT: one frozen record, and those of GPT-2 (Radford et al. 2019)."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class GPTConfig:
    """The size of a GPT, checked when it is made; the defaults are GPT-2 small."""

    embedding_dim: int = 768  # C, width of the residual stream
    num_layers: int = 12  # transformer blocks
    num_heads: int = 12  # attention heads; must divide embedding_dim
    context_len: int = 1024  # longest sequence the model can read
    vocabulary_size: int = 50257  # V
    dropout: float = 0.1  # probability that a value is zeroed while training
    qkv_bias: bool = False  # bias in the query, key and value projections

    def __post_init__(self):
        for name in _SIZES:
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name}={value!r} must be a whole number above 0")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout={self.dropout} must be at least 0 and below 1")
        check_heads(self.embedding_dim, self.num_heads)


_SIZES = ("embedding_dim", "num_layers", "num_heads", "context_len", "vocabulary_size")


def check_heads(embedding_dim: int, num_heads: int) -> None:
    """Raise ValueError if the heads cannot share the channels evenly."""
    if embedding_dim % num_heads:
        fitting = [n for n in range(1, embedding_dim + 1) if embedding_dim % n == 0]
        suggestion = min(fitting, key=lambda n: abs(n - num_heads))
        raise ValueError(
            f"embedding_dim={embedding_dim} is not divisible by num_heads={num_heads}; "
            f"try num_heads={suggestion}"
        )


GPT2_SIZES = {
    "gpt2-small": GPTConfig(),
    "gpt2-medium": GPTConfig(embedding_dim=1024, num_layers=24, num_heads=16),
    "gpt2-large": GPTConfig(embedding_dim=1280, num_layers=36, num_heads=20),
    "gpt2-xl": GPTConfig(embedding_dim=1600, num_layers=48, num_heads=25),
}
