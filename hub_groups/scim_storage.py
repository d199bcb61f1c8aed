"""Users and groups as the SCIM library has them, over the tables of `scim_store`.

A member of a group is stored as one row, and a change of some members touches theirs alone. So
`Handler` reads no members of a group for a PATCH: what that says of them goes to the store as
sets of ids, and the library applies the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import scim2_models as scim
from scim2_server.conditions import Conditions
from scim2_server.handler import ScimHandler
from scim2_server.requests import ScimRequest
from scim2_server.responses import ScimResponse
from scim2_server.service import ScimService
from scim2_server.storage import ScimStorage, SearchPage

from .scim_changes import Change
from .scim_patch import Members, condition, member_ids, take_members
from .scim_rows import GROUP, USER, GroupRow, Missing, Refused, Taken, UserRow
from .scim_store import ScimStore, Session

Resource = scim.Resource[Any]

_SCAN = 500  # resources in memory at a time, where a filter has to look at each
MOST_OPERATIONS = 100
"""In one PATCH, besides those on members: each is applied while nobody else can write."""
_NO_MEMBERS = scim.ResponseParameters[Any].model_validate({"excludedAttributes": "members"})
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_WORKED_OUT = {
    USER: ("id", "meta", "schemas", "groups", "password"),
    GROUP: ("id", "meta", "schemas", "members"),
}
"""What documents go without. Nobody logs in here with a password, so none is kept; and of schemas,
a resource may name only those that are served."""


class Storage(ScimStorage):
    """What the library asks and does, for one request.

    Attributes:
        changes: what the memberships of the hub are to follow, of what is committed.
    """

    def __init__(self, store: ScimStore, provider: scim.ScimProvider, writes: bool) -> None:
        self._store, self._provider, self._writes = store, provider, writes
        self._session: Session | None = None
        self.changes: list[Change] = []

    @contextmanager
    def operation(self) -> Iterator[None]:
        """One transaction around all that a request does."""
        if self._session is not None:
            yield
            return
        with self._store.session(self._writes) as session:
            self._session = session
            try:
                yield
            finally:
                self._session = None
        self.changes += session.changes

    @contextmanager
    def _at_work(self) -> Iterator[Session]:
        with self.operation():
            assert self._session is not None
            try:
                yield self._session
            except Missing as error:
                raise scim.NotFoundException(detail=f"There is no {str(error)[:40]!r}.") from None
            except Taken as error:
                raise scim.UniquenessException(detail=str(error)) from None
            except Refused as error:
                raise scim.InvalidValueException(detail=str(error)) from None

    # -- reading --------------------------------------------------------------------------------

    def get(
        self,
        resource_type: scim.ResourceType,
        resource_id: str,
        *,
        response_parameters: scim.ResponseParameters[Any] | None = None,
    ) -> Resource:
        kind = str(resource_type.name)
        with self._at_work() as session:
            row = session.user(resource_id) if kind == USER else session.group(resource_id)
            return self._resources(session, kind, [row], _keeps(response_parameters, kind))[0]

    def search(
        self,
        resource_types: list[scim.ResourceType],
        search_request: scim.SearchRequest[Any],
        *,
        position: Any = None,
    ) -> SearchPage:
        kinds = [str(resource_type.name) for resource_type in resource_types]
        start, count = search_request.start_index_0 or 0, search_request.count
        with self._at_work() as session:
            if search_request.sort_by is None and self._is_indexed(kinds, search_request):
                total, ids = _page(session, kinds, search_request, start, count)
            else:
                found = self._scan(session, kinds, search_request)
                total = len(found)
                ids = found[start:] if count is None else found[start : start + count]
            resources: list[Resource] = []
            for kind in kinds:
                rows = session.rows(kind, [id for of_kind, id in ids if of_kind == kind])
                resources += self._resources(session, kind, rows, _keeps(search_request, kind))
        by_id = {resource.id: resource for resource in resources}
        return SearchPage(total, [by_id[id] for _kind, id in ids])

    def _is_indexed(self, kinds: list[str], request: scim.SearchRequest[Any]) -> bool:
        asked = request.filter
        return asked is None or all(condition(kind, asked.ast)[1] for kind in kinds)

    def _scan(
        self, session: Session, kinds: list[str], request: scim.SearchRequest[Any]
    ) -> list[tuple[str, str]]:
        """Kinds and ids of all that a filter is true of, in the order that is asked for."""
        found: list[tuple[tuple[bool, Any, str], str, str]] = []
        asked = request.filter
        for kind in kinds:
            about = f"{asked or ''} {request.sort_by or ''}".lower()
            whole = ("groups" if kind == USER else "members") in about
            where = condition(kind, asked.ast)[0] if asked is not None else None
            ids = session.ids(kind, where, limit=_SCAN)
            while ids:
                for one in self._resources(session, kind, session.rows(kind, ids), whole):
                    if asked is None or asked.match(one):
                        value = request.sort_value(one)
                        order = (value is None, "" if value is None else value, str(one.id))
                        found.append((order, kind, str(one.id)))
                ids = session.ids(kind, where, after=ids[-1], limit=_SCAN)
        if request.sort_by is not None:
            descending = request.sort_order == scim.SearchRequest.SortOrder.descending
            found.sort(key=lambda one: one[0], reverse=descending)
        return [(kind, id) for _order, kind, id in found]

    # -- changing -------------------------------------------------------------------------------

    def create(self, resource_type: scim.ResourceType, resource: Resource) -> Resource:
        kind = str(resource_type.name)
        row, members = _row(resource, kind)
        with self._at_work() as session:
            if isinstance(row, UserRow):
                return self._resources(session, kind, [session.add_user(row)])[0]
            return self._resources(session, kind, [session.add_group(row, members)])[0]

    def update(
        self,
        resource_type: scim.ResourceType,
        resource: Resource,
        *,
        expected_version: str | None = None,
        members: Members | None = None,
    ) -> Resource:
        """As the library has it.

        Args:
            members: who joins and leaves a group; then the answer is without any members. Without
                it, those of `resource` are all that there are.
        """
        kind, id = str(resource_type.name), str(resource.id)
        row, all_members = _row(resource, kind)
        with self._at_work() as session:
            old = session.user(id) if kind == USER else session.group(id)
            if expected_version is not None and _version(old) != expected_version:
                raise scim.PreconditionFailedException
            same = replace(row, version=old.version, created=old.created, modified=old.modified)
            new: UserRow | GroupRow = old
            if isinstance(row, UserRow):
                new = old if same == old else session.change_user(row)
                return self._resources(session, kind, [new])[0]
            within = members.named if members else None
            has = members.join if members else all_members
            if same != old or has != set(session.members([id], within)[id]):
                new = session.change_group(row, has, within)
            return self._resources(session, kind, [new], whole=members is None)[0]

    def delete(
        self,
        resource_type: scim.ResourceType,
        resource_id: str,
        *,
        expected_version: str | None = None,
    ) -> None:
        kind = str(resource_type.name)
        with self._at_work() as session:
            old = session.user(resource_id) if kind == USER else session.group(resource_id)
            if expected_version is not None and _version(old) != expected_version:
                raise scim.PreconditionFailedException
            (session.remove_user if kind == USER else session.remove_group)(resource_id)

    # -- rows and resources ---------------------------------------------------------------------

    def _model(self, kind: str) -> type[Resource]:
        found = self._provider.model_for(kind)
        assert isinstance(found, type) and issubclass(found, scim.Resource)
        return found

    def _resources(
        self,
        session: Session,
        kind: str,
        rows: Sequence[UserRow | GroupRow],
        whole: bool = True,
    ) -> list[Resource]:
        """Args:
        whole: with the groups of users, or the members of groups.
        """
        model, ids = self._model(kind), [row.id for row in rows]
        if not whole:
            return [model.model_validate(_document(row)) for row in rows]
        if kind == USER:
            groups = session.groups_of(ids)
            return [
                model.model_validate(
                    _document(row, groups=[_in_group(*one) for one in groups.get(row.id, ())])
                )
                for row in rows
            ]
        members = session.members(ids)
        return [
            model.model_validate(
                _document(row, members=[_member(one) for one in members.get(row.id, ())])
            )
            for row in rows
        ]


class Handler(ScimHandler):
    """The library's, for one request, but for a PATCH of a group: see the module."""

    storage: Storage

    def __init__(self, service: ScimService, storage: Storage) -> None:
        super().__init__(service, storage)
        self._answers_with_group = False

    def patch(self, request: ScimRequest) -> ScimResponse:
        self._answers_with_group = bool({"attributes", "excludedAttributes"} & set(request.query))
        return super().patch(request)

    def patch_resource(
        self,
        resource_type: scim.ResourceType,
        resource_id: str,
        patch_op: scim.PatchOp[Any],
        conditions: Conditions,
    ) -> Resource:
        operations = patch_op.operations or []
        taken = take_members(operations) if resource_type.name == GROUP else None
        if len(operations if taken is None else taken[1]) > MOST_OPERATIONS:
            raise scim.InvalidValueException(detail=f"At most {MOST_OPERATIONS} operations.")
        if taken is None:
            return super().patch_resource(resource_type, resource_id, patch_op, conditions)
        members, others = taken
        current = self.storage.get(resource_type, resource_id, response_parameters=_NO_MEMBERS)
        assert current.meta is not None
        version = current.meta.version
        self.service.check_preconditions(current, "PATCH", conditions)
        if others:
            patch_op.model_copy(update={"operations": others}).patch(current)
        current = self.storage.update(
            resource_type, current, expected_version=version, members=members
        )
        return self.storage.get(resource_type, resource_id) if self._answers_with_group else current


def _page(
    session: Session,
    kinds: list[str],
    request: scim.SearchRequest[Any],
    start: int,
    count: int | None,
) -> tuple[int, list[tuple[str, str]]]:
    """How many there are, and kinds and ids of some of them, by the index alone."""
    total, ids = 0, list[tuple[str, str]]()
    for kind in kinds:
        where = condition(kind, request.filter.ast)[0] if request.filter is not None else None
        offset = max(0, start - total)
        left = None if count is None else count - len(ids)
        total += (there := session.count(kind, where))
        if left != 0 and offset < there:
            ids += [(kind, id) for id in session.ids(kind, where, offset=offset, limit=left)]
    return total, ids


def _keeps(parameters: scim.ResponseParameters[Any] | None, kind: str) -> bool:
    """Whether an answer says in which groups users are, or who is in a group."""
    name = "groups" if kind == USER else "members"
    if parameters is None:
        return True
    if parameters.attributes:
        return any(
            path.model is not None or path.parts[0].lower() == name
            for path in parameters.attributes
        )
    return not any(
        tuple(part.lower() for part in path.parts) == (name,)
        for path in parameters.excluded_attributes or ()
    )


def _row(resource: Resource, kind: str) -> tuple[UserRow | GroupRow, set[str]]:
    """What is stored of a resource, and the ids of a group's members."""
    document = resource.model_dump()
    known = {name: value for name, value in document.items() if name not in _WORKED_OUT[kind]}
    id, external = resource.id or "", resource.external_id
    if kind == USER:
        active = document.get("active")
        return UserRow(
            id, document.get("userName", ""), external, active is not False, known
        ), set()
    members = [{"value": one.value} for one in getattr(resource, "members", None) or ()]
    return GroupRow(id, document.get("displayName", ""), external, known), member_ids(members)


def _document(row: UserRow | GroupRow, **more: Any) -> dict[str, Any]:
    return {
        **row.document,
        **{name: value for name, value in more.items() if value},
        "id": row.id,
        "meta": {
            "resourceType": USER if isinstance(row, UserRow) else GROUP,
            "created": _time(row.created),
            "lastModified": _time(row.modified),
            "version": _version(row),
        },
    }


def _time(at: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at)


def _version(row: UserRow | GroupRow) -> str:
    return f'W/"{row.version}"'


def _member(id: str) -> dict[str, Any]:
    return {"value": id, "$ref": f"Users/{id}"}


def _in_group(id: str, name: str) -> dict[str, Any]:
    return {"value": id, "$ref": f"Groups/{id}", "type": "direct", "display": name}
