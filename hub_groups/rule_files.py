"""Files of rules, in YAML, with the line of what is wrong."""

from __future__ import annotations

from pathlib import Path

from .documents import FileError, line_of, read_text, read_yaml
from .rules import Rule, RuleError, parse_rules


def read_rules(file: Path) -> tuple[Rule, ...]:
    """The rules in a file.

    Raises:
        FileError: the file can't be read, is not YAML, has a key twice, or has no rules.
    """
    return parse_rules_text(read_text(file), str(file))


def parse_rules_text(text: str, name: str) -> tuple[Rule, ...]:
    """The rules in a text.

    Args:
        name: what it is called in messages.

    Raises:
        FileError: it is not YAML, has a key twice, or has no rules.
    """
    document, root = read_yaml(text, name)
    try:
        return parse_rules(document)
    except RuleError as error:
        raise FileError(f"{name}{line_of(root, error.place)}: {error}") from None
