"""Internal: what PyInstaller asks installed packages for: where the hook is that brings backends and plugins along."""

from __future__ import annotations

from pathlib import Path


def hook_folders() -> list[str]:
    """The folders with hooks."""
    return [str(Path(__file__).parent)]
