"""Pretrain a GPT in PyTorch: the package that the course's notebooks import."""

from llm_helpers.checkpoint import load_checkpoint, read_state, save_checkpoint
from llm_helpers.checkpoint_folder import checkpoint_path, list_checkpoints
from llm_helpers.compatibility import CheckpointError
from llm_helpers.config import GPT2_SIZES, GPTConfig
from llm_helpers.data import LLMDataset, split_dataset
from llm_helpers.generation import (
    generate,
    generate_text,
    generate_texts,
    next_token_probas,
)
from llm_helpers.gpt2_weights import load_gpt2_weights
from llm_helpers.grammar import Grammar
from llm_helpers.lesson import set_up
from llm_helpers.loss import (
    calc_loss_batch,
    calc_loss_loader,
    evaluation_mode,
    perplexity,
)
from llm_helpers.memorisation import CorpusIndex
from llm_helpers.model import (
    GELU,
    FeedForward,
    GPTModel,
    LayerNorm,
    MultiHeadAttention,
    TransformerBlock,
)
from llm_helpers.optimization import WarmupCosine, weight_decay_groups
from llm_helpers.paths import DATA_DIR, RUNS_DIR
from llm_helpers.plotting import plot_losses
from llm_helpers.series import pretrain_model, val_and_save
from llm_helpers.stories import dataset_floor, story_windows, tern_haven
from llm_helpers.tokenizer import WordTokenizer, load_tokenizer
from llm_helpers.trace import EpochRecord, StepRecord
from llm_helpers.training import LossHistory, TrainingRun

__all__ = [
    "CheckpointError",
    "CorpusIndex",
    "DATA_DIR",
    "EpochRecord",
    "FeedForward",
    "GELU",
    "GPT2_SIZES",
    "GPTConfig",
    "GPTModel",
    "Grammar",
    "LLMDataset",
    "LayerNorm",
    "LossHistory",
    "MultiHeadAttention",
    "RUNS_DIR",
    "StepRecord",
    "TrainingRun",
    "TransformerBlock",
    "WarmupCosine",
    "WordTokenizer",
    "calc_loss_batch",
    "calc_loss_loader",
    "checkpoint_path",
    "dataset_floor",
    "evaluation_mode",
    "generate",
    "generate_text",
    "generate_texts",
    "list_checkpoints",
    "load_checkpoint",
    "load_gpt2_weights",
    "load_tokenizer",
    "next_token_probas",
    "perplexity",
    "plot_losses",
    "pretrain_model",
    "read_state",
    "save_checkpoint",
    "set_up",
    "split_dataset",
    "story_windows",
    "tern_haven",
    "val_and_save",
    "weight_decay_groups",
]
