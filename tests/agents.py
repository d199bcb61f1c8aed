"""The commands of the storage agent, and places with homes for them."""

from __future__ import annotations

import argparse
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
from filesystems import OWNER, NoFilesystem

from hub_quotas.storage_agent.backend import find_backend
from hub_quotas.storage_agent.backup_commands import add_commands

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
        kind: btrfs, or `plain` for a file system that the agent knows nothing of.
    """

    kind: str
    path: Path

    def new(self, home: str) -> Path:
        path = self.path / home
        if self.kind == "btrfs":
            find_backend(self.path).create(home, (OWNER, OWNER), 0o700)
        else:
            path.mkdir(parents=True, mode=0o700)
            os.chown(path, OWNER, OWNER)
        return path

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
        made = filesystems.make(kind)
    except NoFilesystem as error:
        unavailable(error)
    try:
        find_backend(made.path).prepare()
        yield Place(kind, made.path)
    finally:
        filesystems.end(made)


def unavailable(why: Exception) -> None:
    assert "CI" not in os.environ, why
    pytest.skip(str(why))
