"""Any sequence of changes and questions, beside a model that knows nothing of SQL or SCIM."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scim_server import GROUP, PATCH, USER, ids, new_store

from hub_groups.database import writing
from hub_groups.schema import metadata

from scim2_server.requests import ScimRequest  # isort: skip
from hub_groups.scim import Scim  # isort: skip
from hub_groups.scim_tokens import ScimTokens  # isort: skip

NAMES = st.sampled_from(["Anna", "anna", "BEN", "ben", "Cleo", "é", "e\u0301"])
WHICH = st.integers(0, 3)
FEW = st.lists(WHICH, max_size=3)


@dataclass
class Person:
    name: str
    active: bool = True
    external: str | None = None


@dataclass
class Model:
    """What there should be, by id."""

    people: dict[str, Person] = field(default_factory=dict)
    groups: dict[str, tuple[str, set[str]]] = field(default_factory=dict)

    def memberships(self) -> set[tuple[str, str]]:
        return {
            (self.people[one].name.lower(), name)
            for name, members in self.groups.values()
            for one in members
            if self.people[one].active
        }


class World:
    """A server without HTTP, its model, and what the hub was told."""

    def __init__(self, store) -> None:
        self.model = Model()
        self.told: set[tuple[str, str]] = set()
        self.headers = {
            "Authorization": f"Bearer {ScimTokens(store.engine).create('tests', store.now())}"
        }
        self.scim = Scim(store, self.on_change)

    def on_change(self, changes) -> None:
        for user, group, role in changes:
            assert ((user, group) in self.told) == (role is None)
            (self.told.discard if role is None else self.told.add)((user, group))

    def ask(self, method: str, path: str, body=None, **query):
        content = b"" if body is None else json.dumps(body).encode()
        request = ScimRequest(method, "http://x", path, query, self.headers, content)
        answer = self.scim.answer(request)
        assert answer.status < 500, answer
        return answer

    def patch(self, path: str, *operations: dict) -> int:
        return self.ask("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)}).status

    # -- changes; `draw` chooses --------------------------------------------------------------

    def begin(self) -> None:
        """Three who are in both of two groups: else most of what is drawn finds nothing to do."""
        for name in ("Anna", "ben", "Cleo"):
            answer = self.ask("POST", "/Users", {"schemas": [USER], "userName": name})
            self.model.people[answer.body["id"]] = Person(name)
        for name in ("Anna", "ben"):
            sent = {"schemas": [GROUP], "displayName": name, "members": ids(*self.model.people)}
            answer = self.ask("POST", "/Groups", sent)
            self.model.groups[answer.body["id"]] = (name, set(self.model.people))

    def taken(self, name: str, among, but: str = "") -> bool:
        return any(same(name, other) for id, other in among if id != but)

    def user_names(self):
        return [(id, one.name) for id, one in self.model.people.items()]

    def group_names(self):
        return [(id, name) for id, (name, _members) in self.model.groups.items()]

    # By number, since ids are others in each run: so what went wrong once goes wrong again.

    def some(self, draw, of) -> str:
        known = list(of)
        return known[draw(WHICH) % len(known)] if known else "nobody"

    def few(self, draw) -> list[str]:
        known = list(self.model.people)
        return [known[n] for n in draw(FEW) if n < len(known)]

    def add_user(self, draw) -> None:
        name, active = draw(NAMES), draw(st.sampled_from([True, False, None]))
        external = draw(st.sampled_from([None, "x", "X"]))
        sent = {"schemas": [USER], "userName": name}
        sent |= {} if active is None else {"active": active}
        sent |= {} if external is None else {"externalId": external}
        answer = self.ask("POST", "/Users", sent)
        if self.taken(name, self.user_names()):
            assert answer.status == 409
        else:
            assert answer.status == 201
            person = Person(name, active is not False, external)
            self.model.people[answer.body["id"]] = person

    def change_user(self, draw) -> None:
        id, name, active = self.some(draw, self.model.people), draw(NAMES), draw(st.booleans())
        status = self.patch(
            f"/Users/{id}",
            {"op": "Replace", "path": "active", "value": str(active)},
            {"op": "replace", "value": {"userName": name}},
        )
        person = self.model.people.get(id)
        if person is None:
            assert status == 404
        elif self.taken(name, self.user_names(), id):
            assert status == 409
        else:
            assert status == 204
            person.name, person.active = name, active

    def remove_user(self, draw) -> None:
        id = self.some(draw, self.model.people)
        assert self.ask("DELETE", f"/Users/{id}").status == (
            204 if self.model.people.pop(id, None) else 404
        )
        for _name, members in self.model.groups.values():
            members.discard(id)

    def add_group(self, draw) -> None:
        name, members = draw(NAMES), self.few(draw)
        sent = {"schemas": [GROUP], "displayName": name, "members": ids(*members)}
        answer = self.ask("POST", "/Groups", sent)
        if self.taken(name, self.group_names()):
            assert answer.status == 409
        else:
            assert answer.status == 201
            self.model.groups[answer.body["id"]] = (name, set(members))

    def put_group(self, draw) -> None:
        id, name, members = self.some(draw, self.model.groups), draw(NAMES), self.few(draw)
        sent = {"schemas": [GROUP], "displayName": name, "members": ids(*members)}
        status = self.ask("PUT", f"/Groups/{id}", sent).status
        if id not in self.model.groups:
            assert status == 404
        elif self.taken(name, self.group_names(), id):
            assert status == 409
        else:
            assert status == 200
            self.model.groups[id] = (name, set(members))

    def remove_group(self, draw) -> None:
        id = self.some(draw, self.model.groups)
        assert self.ask("DELETE", f"/Groups/{id}").status == (
            204 if self.model.groups.pop(id, None) else 404
        )

    def change_group(self, draw) -> None:
        id = self.some(draw, self.model.groups)
        name, members = self.model.groups.get(id, ("", set()))
        now, operations = set(members), []
        for _ in range(draw(st.integers(1, 4))):
            few = self.few(draw)
            kind = draw(st.sampled_from(OPERATIONS))
            new = draw(NAMES)
            operation, now, name = kind(few, now, new, name)
            operations.append(operation)
        status = self.patch(f"/Groups/{id}", *operations)
        if id not in self.model.groups:
            assert status == 404
        elif self.taken(name, self.group_names(), id):
            assert status == 409
        else:
            assert status == 204, operations
            self.model.groups[id] = (name, now)

    # -- questions ----------------------------------------------------------------------------

    def check(self, draw) -> None:
        assert self.told == self.model.memberships()
        listed = self.ask("GET", "/Users").body
        assert {one["id"]: one["userName"] for one in listed.get("Resources", [])} == dict(
            self.user_names()
        )
        for one in listed.get("Resources", []):
            groups = {id for id, (_n, members) in self.model.groups.items() if one["id"] in members}
            assert {group["value"] for group in one.get("groups", [])} == groups
        listed = self.ask("GET", "/Groups").body.get("Resources", [])
        assert {
            one["id"]: (one["displayName"], {m["value"] for m in one.get("members", [])})
            for one in listed
        } == self.model.groups
        filter, holds = draw(user_filters(list(self.model.groups)))
        self.check_filter("/Users", filter, {
            id
            for id, one in self.model.people.items()
            if holds(id, one, {g for g, (_n, m) in self.model.groups.items() if id in m})
        })  # fmt: skip
        filter, holds = draw(group_filters(list(self.model.people)))
        self.check_filter("/Groups", filter, {
            id for id, group in self.model.groups.items() if holds(id, *group)
        })  # fmt: skip

    def check_filter(self, path: str, filter: str, expected: set[str]) -> None:
        found = self.ask("GET", path, filter=filter).body
        assert {one["id"] for one in found.get("Resources", [])} == expected, filter
        page = self.ask("GET", path, filter=filter, startIndex="2", count="1").body
        assert page["totalResults"] == len(expected)
        assert len(page.get("Resources", [])) == (len(expected) > 1)


def same(one: str, other: str) -> bool:
    return one.replace("e\u0301", "é").lower() == other.replace("e\u0301", "é").lower()


OPERATIONS = (
    lambda few, now, new, name: (op("add", "members", ids(*few)), now | set(few), name),
    lambda few, now, new, name: (op("replace", "members", ids(*few)), set(few), name),
    lambda few, now, new, name: (op("remove", "members", None), set(), name),
    lambda few, now, new, name: (
        op("Remove", "members", [{"$ref": None, "value": one} for one in few]),
        now - set(few),
        name,
    ),
    lambda few, now, new, name: (
        op("remove", f"members[{' or '.join(eq(one) for one in few) or eq('x')}]", None),
        now - set(few),
        name,
    ),
    lambda few, now, new, name: (
        op("remove", f"members[not ({' or '.join(eq(one) for one in few) or eq('x')})]", None),
        now & set(few),
        name,
    ),
    lambda few, now, new, name: (op("replace", "displayName", new), now, new),
    lambda few, now, new, name: (
        op("Add", None, {"displayName": new, "members": ids(*few)}),
        now | set(few),
        new,
    ),
    lambda few, now, new, name: (
        op("Replace", None, {"displayName": new, "members": ids(*few)}),
        set(few),
        new,
    ),
)


def op(op: str, path: str | None, value) -> dict:
    found = {"op": op, "path": path, "value": value}
    return {name: one for name, one in found.items() if one is not None}


def eq(id: str) -> str:
    return f'value eq "{id}"'


def combined(leaves):
    """Filters of filters, and what they mean."""

    def more(inner):
        return st.one_of(
            inner.map(lambda one: (f"not ({one[0]})", lambda *a: not one[1](*a))),
            st.tuples(inner, inner).map(
                lambda two: (
                    f"({two[0][0]}) and ({two[1][0]})",
                    lambda *a: two[0][1](*a) and two[1][1](*a),
                )
            ),
            st.tuples(inner, inner).map(
                lambda two: (
                    f"{two[0][0]} or {two[1][0]}",
                    lambda *a: two[0][1](*a) or two[1][1](*a),
                )
            ),
        )

    return st.recursive(leaves, more, max_leaves=4)


def user_filters(groups: list[str]):
    names = NAMES.map(lambda n: (f'userName eq "{n}"', lambda id, one, _in: same(one.name, n)))
    external = st.sampled_from(["x", "X"]).map(
        lambda n: (f'externalId eq "{n}"', lambda id, one, _in: one.external == n)
    )
    known = [*groups, "none"]
    of = WHICH.map(lambda n: known[n % len(known)]).map(
        lambda g: (f'groups.value eq "{g}"', lambda id, one, groups: g in groups)
    )
    has = st.just(("externalId pr", lambda id, one, _in: one.external is not None))
    return combined(names | external | of | has)


def group_filters(people: list[str]):
    names = NAMES.map(lambda n: (f'displayName eq "{n}"', lambda id, name, _m: same(name, n)))
    shapes = ['members eq "{}"', 'members.value eq "{}"', 'members[value eq "{}"]']
    known = [*people, "none"]
    who = st.tuples(WHICH.map(lambda n: known[n % len(known)]), st.sampled_from(shapes)).map(
        lambda two: (two[1].format(two[0]), lambda id, name, members: two[0] in members)
    )
    return combined(names | who)


CHANGES = (
    World.add_user,
    World.add_user,
    World.change_user,
    World.remove_user,
    World.add_group,
    World.change_group,
    World.change_group,
    World.put_group,
    World.remove_group,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = new_store(f"sqlite:///{tmp_path_factory.mktemp('scim')}/groups.sqlite")
    yield store
    store.engine.dispose()


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_any_sequence(store, data):
    with writing(store.engine) as db:
        for table in reversed(metadata.sorted_tables):
            db.execute(table.delete())
    world = World(store)
    world.begin()
    for change in data.draw(st.lists(st.sampled_from(CHANGES), min_size=5, max_size=12)):
        change(world, data.draw)
        world.check(data.draw)
