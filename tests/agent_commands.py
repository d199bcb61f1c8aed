"""The commands of the storage agent, and places with homes for them."""

from __future__ import annotations

import argparse
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filesystems
import pytest
from filesystems import OWNER, NoFilesystem, write

from hub_quotas.storage_agent.backend import find_backend
from hub_quotas.storage_agent.backup_commands import add_commands

SLACK = 2**20
"""A file system's own bookkeeping counts too."""
PROGRAM = [
    sys.executable,
    "-c",
    "import argparse, sys; from hub_quotas.storage_agent.backup_commands import add_commands;"
    "parser = argparse.ArgumentParser(); add_commands(parser.add_subparsers(required=True));"
    "args = parser.parse_args(); sys.exit(args.run(args))",
]
"""For a process of its own."""


@dataclass(frozen=True)
class Place:
    """Where homes are.

    Attributes:
        kind: `btrfs`, with simple quotas; `full`, with full ones; or `plain`, of which the agent
            knows nothing.
    """

    kind: str
    path: Path

    def new(self, home: str) -> Path:
        path = self.path / home
        if self.kind != "plain":
            find_backend(self.path).create(home, (OWNER, OWNER), 0o700)
        else:
            path.mkdir(parents=True, mode=0o700)
            os.chown(path, OWNER, OWNER)
        return path

    def limit(self, home: str, limit: int) -> None:
        assert find_backend(self.path).put({home: limit}) == {}

    def assert_limited(self, home: str, limit: int, used: int) -> None:
        """It holds what is said, and no more than its limit can be written."""
        os.sync()
        held = find_backend(self.path).read([home])[home]
        assert held.limit == limit
        assert used <= held.used <= used + SLACK
        written, error = write(self.path / home / "too-much", limit)
        assert error == errno.EDQUOT
        assert limit - used - SLACK <= written <= limit - used
        (self.path / home / "too-much").unlink()

    def remove_by_hand(self, home: str) -> None:
        """With its subvolume, if it is one."""
        subprocess.run(["rm", "-rf", "--", str(self.path / home)], check=True)
        assert not (self.path / home).exists()

    def command(self, name: str, *arguments: str) -> int:
        """Call one in this process; the exit code."""
        parser = argparse.ArgumentParser()
        add_commands(parser.add_subparsers(required=True))
        args = parser.parse_args([name, "--root", str(self.path), *arguments])
        return args.run(args)

    def left_over(self, home: str) -> list[Path]:
        """What is unfinished."""
        work = self.path / ".snapshots" / ".work"
        return [*work.glob("*"), *(self.path / home).rglob(".restoring-*")]


@contextmanager
def place(kind: str) -> Iterator[Place]:
    """A new one. Skips the test where there can be none."""
    if kind == "plain":
        folder = Path(tempfile.mkdtemp())
        folder.chmod(0o755)
        try:
            yield Place(kind, folder)
        finally:
            shutil.rmtree(folder)
        return
    try:
        made = filesystems.make("btrfs")
    except NoFilesystem as error:
        unavailable(error)
    try:
        if kind == "full":
            subprocess.run(["btrfs", "quota", "enable", str(made.path)], check=True)
        backend = find_backend(made.path)
        backend.prepare()
        if kind not in backend.name:
            raise NoFilesystem(f"it has {backend.name}")
        yield Place(kind, made.path)
    finally:
        filesystems.end(made)


def unavailable(why: Exception) -> None:
    assert "CI" not in os.environ, why
    pytest.skip(str(why))
