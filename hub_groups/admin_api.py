"""Sources, rules, tokens and the audit log, for programs."""

from __future__ import annotations

from .rest import Operation

OPERATIONS: tuple[Operation, ...] = ()
