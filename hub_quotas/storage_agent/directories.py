"""Homes that are ordinary directories."""

from __future__ import annotations

import os
from pathlib import Path


def make_directory(path: Path, owner: tuple[int, int], mode: int) -> None:
    """Make a home that is an ordinary directory; one that exists stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.mkdir(0o700)
    except FileExistsError:
        # One that was made, and then nothing, is root's and empty.
        made = path.lstat()
        if path.is_symlink() or made.st_uid != 0 or not path.is_dir() or any(path.iterdir()):
            return
    new = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(new, mode)
        os.fchown(new, *owner)
    finally:
        os.close(new)
