"""What the requests of a directory come to for the tables: a PATCH of members, and filters.

Pure, but for the library's syntax trees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import scim2_models as scim
from scim2_models.path import (
    CompareOperator,
    Comparison,
    FilterNode,
    LogicalExpr,
    LogicalOperator,
    ValuePath,
)

from .scim_rows import GROUP, USER, Both, Condition, Either, Is

Op = scim.PatchOperation.Op
Operation = scim.PatchOperation[Any]

_COLUMNS = {
    USER: {"id": "id", "externalid": "external_id", "username": "name"},
    GROUP: {"id": "id", "externalid": "external_id", "displayname": "name"},
}


@dataclass
class Members:
    """What a PATCH comes to for a group's members.

    Attributes:
        all_others_leave: whether nobody stays but who joins.
    """

    join: set[str] = field(default_factory=set)
    leave: set[str] = field(default_factory=set)
    all_others_leave: bool = False

    def add(self, ids: set[str]) -> None:
        self.join |= ids
        self.leave -= ids

    def remove(self, ids: set[str] | None = None) -> None:
        """Take away some, or all."""
        if ids is None:
            self.join, self.leave, self.all_others_leave = set(), set(), True
        else:
            self.join -= ids
            self.leave |= ids

    @property
    def named(self) -> set[str] | None:
        """Who alone is concerned; None for anybody."""
        return None if self.all_others_leave else self.join | self.leave


def take_members(operations: list[Operation]) -> tuple[Members, list[Operation]] | None:
    """What is said of a group's members, as sets of ids, and all other operations.

    None where something is said that sets of ids can't hold; the library knows what to do or
    to say then. Only what it has checked should come here.

    Raises:
        scim.InvalidValueException: a member is no user by their id.
    """
    members, others = Members(), list[Operation]()
    for operation in operations:
        path, value = operation.path, operation.value
        if path is None or path.model is not None:
            rest = _take_from_object(operation, members)
            if rest is None:
                return None
            others += rest
        elif path.parts[0].lower() != "members":
            others.append(operation)
        elif len(path.parts) > 1:
            return None
        elif path.value_filter is not None:
            ids = _selected(path.value_filter, exactly=True)
            if ids is None or operation.op != Op.remove:
                return None
            members.remove(ids)
        else:
            _take(operation.op, value, members)
    return members, others


def _take_from_object(operation: Operation, members: Members) -> list[Operation] | None:
    """Of an operation whose value is an object; what is left of it."""
    value = operation.value
    if not isinstance(value, dict) or any(isinstance(item, dict) for item in value.values()):
        return None
    rest = dict(value)
    for key in value:
        name = key.lower().rpartition(":")[2]
        if name == "members":
            _take(operation.op, rest.pop(key), members)
        elif name.startswith("members"):  # a path into them
            return None
    if not rest:
        return []
    return [operation.model_copy(update={"value": rest})]


def _take(op: Op, value: Any, members: Members) -> None:
    if value is None and op != Op.add:  # a null unassigns, as a removal does
        members.remove()
        return
    ids = member_ids(value)
    if op == Op.remove:
        members.remove(ids)
        return
    if op == Op.replace_:
        members.remove()
    members.add(ids)


def member_ids(value: Any) -> set[str]:
    """Of one or several members as they are sent, by their ids alone: a removal that also gives
    the name under which the directory shows somebody is still about them.

    Raises:
        scim.InvalidValueException: one has none.
    """
    entries = value if isinstance(value, list) else [value]
    found: list[Any] = [
        entry.get("value") if isinstance(entry, dict) else None for entry in entries
    ]
    if not all(isinstance(id, str) and id for id in found):
        raise scim.InvalidValueException(detail="Each member needs the id of a user as its value.")
    return set(found)


def _selected(node: FilterNode, exactly: bool = False) -> set[str] | None:
    """The only members that a filter can be true of; None for any.

    Args:
        exactly: None also where it may be true of only some of them.
    """
    if isinstance(node, LogicalExpr):
        terms = [_selected(term, exactly) for term in node.terms]
        known = [term for term in terms if term is not None]
        if node.op == LogicalOperator.and_:
            return None if exactly or not known else min(known, key=len)
        return set().union(*known) if len(known) == len(terms) else None
    equals = _equals(node)
    return {equals[2]} if equals and equals[:2] == ("value", "") else None


def condition(kind: str, node: FilterNode) -> tuple[Condition | None, bool]:
    """What the index can say about a filter: a condition that all that it is true of meet (None
    for one that all meet), and whether nothing else meets it."""
    if isinstance(node, LogicalExpr):
        found = [condition(kind, term) for term in node.terms]
        known = tuple(term for term, _exact in found if term is not None)
        exact = all(exact for _term, exact in found)
        if node.op == LogicalOperator.and_:
            return (Both(known) if known else None), exact
        return (Either(known), exact) if len(known) == len(found) else (None, False)
    if kind == GROUP and isinstance(node, ValuePath):
        # Without a user that is named, there is nothing that the index could say.
        users = _selected(node.val_filter) if node.attr_path.attr.lower() == "members" else None
        if users is None:
            return None, False
        plain = _equals(node.val_filter) is not None
        return Either(tuple(Is("member", user) for user in sorted(users))), plain
    equals = _equals(node)
    if equals is None:
        return None, False
    name, sub, value = equals
    if kind == GROUP and name == "members" and sub in ("", "value"):
        return Is("member", value), True
    column = None if sub else _COLUMNS[kind].get(name)
    return (Is(column, value), True) if column else (None, False)


def _equals(node: FilterNode) -> tuple[str, str, str] | None:
    """Attribute, sub-attribute and text of a comparison with `eq`; None for anything else."""
    if (
        not isinstance(node, Comparison)
        or node.op != CompareOperator.eq
        or not isinstance(node.value, str)
        or node.attr_path.uri is not None
    ):
        return None
    return node.attr_path.attr.lower(), (node.attr_path.sub_attr or "").lower(), node.value
