"""Where the repository keeps its data and where lessons may write."""

from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = PROJECT_DIR / "data"
RUNS_DIR = PROJECT_DIR / "notebooks" / "runs"  # git-ignored; lessons write here only
