"""Policy files: YAML (and so JSON), with the line of what is wrong."""

from __future__ import annotations

from pathlib import Path

from hub_groups.documents import FileError as FileError
from hub_groups.documents import line_of, read_text, read_yaml
from hub_groups.words import _

from .limits import PolicyError
from .policy import Policy, parse_policy


def read_policy(file: Path) -> Policy:
    """The policy in a file.

    Raises:
        FileError: the file can't be read, is not YAML, has a key twice, or is no policy.
    """
    return parse_text(read_text(file), str(file))


def parse_text(text: str, file: str) -> Policy:
    """The policy in a text.

    Args:
        file: what it is called in messages.

    Raises:
        FileError: it is not YAML, has a key twice, or is no policy.
    """
    document, root = read_yaml(text, file)
    if document is None:  # half written, perhaps: all limits would go
        empty = _("{file}: there is nothing in it. A policy without limits says so: groups: {{}}")
        raise FileError(empty.format(file=file))
    try:
        return parse_policy(document)
    except PolicyError as error:
        raise FileError(f"{file}{line_of(root, error.place)}: {error}") from None
    except (RecursionError, ValueError):
        raise FileError(_("{file}: this is not YAML that can be read.").format(file=file)) from None
