"""The shipped recipes: one TOML file each, found because it lies here; the file's name is the recipe's name."""

from __future__ import annotations

from pathlib import Path


def shipped() -> dict[str, Path]:
    """Recipe name -> its file."""
    return {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}
