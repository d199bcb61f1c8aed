"""Groups, their members and how one joins, for programs."""

from __future__ import annotations

from .rest import Operation

OPERATIONS: tuple[Operation, ...] = ()
