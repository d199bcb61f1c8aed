"""Which members of a group a request is about, so that no others need be read."""

from __future__ import annotations

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

_COLUMNS = {
    USER: {"id": "id", "externalid": "external_id", "username": "name"},
    GROUP: {"id": "id", "externalid": "external_id", "displayname": "name"},
}


def named_members(patch: scim.PatchOp[Any]) -> set[str] | None:
    """The ids of the members that a PATCH of a group names; None where it may be about any.

    What the operations say of members is brought down to their ids: a removal that also gives
    the name under which the directory shows somebody would else miss them.
    """
    named: set[str] = set()
    for operation in patch.operations or []:
        found = _named(operation)
        if found is None:
            return None
        named |= found
    return named


def _named(operation: scim.PatchOperation[Any]) -> set[str] | None:
    path, value = operation.path, operation.value
    if path is None or path.model is not None:
        if not isinstance(value, dict):
            return set()
        found: set[str] | None = set()
        for key, item in value.items():
            if key.lower().rpartition(":")[2] == "members":
                value[key] = _only_ids(item)
                found = _ids(value[key]) if operation.op == Op.add else None
            elif isinstance(item, dict):  # a schema with what is in it
                return None
        return found
    if path.parts[0].lower() != "members":
        return set()
    if path.value_filter is not None:
        return _selected(path.value_filter)
    if len(path.parts) > 1 or value is None:
        return None
    operation.value = _only_ids(value)
    return None if operation.op == Op.replace_ else _ids(operation.value)


def _only_ids(value: Any) -> Any:
    entries = value if isinstance(value, list) else [value]
    return [
        {"value": entry["value"]}
        if isinstance(entry, dict) and isinstance(entry.get("value"), str)
        else entry
        for entry in entries
    ]


def _ids(entries: list[Any]) -> set[str] | None:
    found = {entry.get("value") for entry in entries if isinstance(entry, dict)}
    names = {id for id in found if isinstance(id, str)}
    return names if len(names) == len(found) else None


def _selected(node: FilterNode) -> set[str] | None:
    """The only members that a filter can be true of; None for any."""
    if isinstance(node, LogicalExpr):
        terms = [_selected(term) for term in node.terms]
        known = [term for term in terms if term is not None]
        if node.op == LogicalOperator.and_:
            return min(known, key=len) if known else None
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
