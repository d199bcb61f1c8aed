"""Every hub version, spawner, path to a server and kind of limit: admitted as charged, or told why.

One hub for each version and spawner. Its cells run in threads, those that start a server first:
after them nothing succeeds any more, so that a hub that counted refusals as failures would exit.
"""

from __future__ import annotations

import html
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx
import matrix
import psutil
import pytest
from cluster import Cluster
from hubs import PATIENCE, Hub, Visitor, wait_for
from matrix import KINDS, Kind

from hub_quotas.policy import parse_policy
from hub_quotas.policy_store import now
from hub_quotas.sessions import new_id

AFTER = "after"
HOUR = 3_600_000_000
WORKERS = 4


@dataclass
class Row:
    """A hub and what its cells came to."""

    version: str
    kind: Kind
    hub: Hub
    cluster: Cluster
    results: dict[tuple[str, str], Future] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    row: Row
    path: str
    outcome: str

    @property
    def hub(self) -> Hub:
        return self.row.hub

    @property
    def user(self) -> str:
        return matrix.user_of(self.path, self.outcome)

    @property
    def server(self) -> str:
        return "second" if self.path == "named" else ""

    @property
    def options(self) -> dict[str, str]:
        kind = self.row.kind
        own = kind.options.get(self.path, {}) if self.outcome == "admit" else {}
        return dict(own or kind.refused)

    @property
    def only_looks(self) -> bool:
        """With profiles there always is a form: without sending it, the page alone says what would
        happen."""
        return self.path == "no-form" and self.row.kind.has_form


# -- hubs -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def row_of(
    request: pytest.FixtureRequest, kubernetes: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], Row]]:
    """The hub of a version and spawner with its cells under way; one at a time."""
    rows: list[Row] = []
    pool = ThreadPoolExecutor(WORKERS)

    def end_last() -> None:
        for row in rows:
            for result in row.results.values():
                result.cancel()
            row.hub.stop()
        rows.clear()

    def row_of(version: str, kind: str) -> Row:
        if not rows or (rows[0].version, rows[0].kind) != (version, KINDS[kind]):
            end_last()
            python = sys.executable if version == "6.1" else request.getfixturevalue("hub55")
            folder = tmp_path_factory.mktemp(kind)
            settings = {"spawner": KINDS[kind].world, "roster": matrix.roster()}
            settings |= kubernetes.hub_settings
            settings["slow_spawn_timeout"] = (
                PATIENCE  # the answer is that of the start, however busy
            )
            hub = Hub(folder, "matrix", python=python, **settings)
            rows.append(Row(version, KINDS[kind], hub, kubernetes))
            hub.start()
            prepare(hub)
            wanted = [item.callspec.params for item in request.session.items if is_cell(item)]
            cells = [
                (cell["path"], cell["outcome"])
                for cell in wanted
                if (cell["version"], cell["kind"]) == (version, kind) and cell["path"] != AFTER
            ]
            for path, outcome in sorted(cells, key=lambda cell: cell[1] != "admit"):
                cell = Cell(rows[0], path, outcome)
                rows[0].results[path, outcome] = pool.submit(run, cell)
        return rows[0]

    yield row_of
    end_last()
    pool.shutdown()


def is_cell(item: pytest.Item) -> bool:
    return getattr(item, "originalname", "") == "test_a_cell"


def prepare(hub: Hub) -> None:
    """Limits, and what somebody else has in use of them."""
    store = hub.ledger()
    store.apply(parse_policy(matrix.POLICY), "tests", "tests")
    for group, amounts in matrix.HELD.items():
        held = store.reserve(new_id(now()), matrix.HOLDER, "", [group], amounts, hub="other")
        assert held.granted


# -- one cell ---------------------------------------------------------------------------------


def run(cell: Cell) -> None:
    """Get there as a user does, and look at what came of it."""
    visitor = enrol(cell)
    answer = ask(cell, visitor)
    if cell.only_looks:
        looked(cell, answer)
    elif cell.outcome == "admit":
        admitted(cell, answer)
    else:
        refused(cell, answer, visitor)


def enrol(cell: Cell) -> Visitor:
    """The cell's own user, with what they have in use or have used already."""
    hub, group, store = cell.hub, matrix.group_of(cell.outcome), cell.hub.ledger()
    visitor = hub.login(cell.user)
    # Right after the hub's start, its roster may be read only after a login.
    wait_for(f"{cell.user} in {group}", lambda: group in hub.groups(cell.user))
    if cell.outcome == "member":
        amounts = {"memory": 2**20, "cpu": 100}
        running = store.reserve(new_id(now()), cell.user, "one", [group], amounts, hub="other")
        assert running.granted
    if cell.outcome == "budget":
        id, since = new_id(now()), now() - 12 * HOUR
        assert store.adopt(id, cell.user, "", group, {"servers": 1, "cpu": 1000}, since)
        assert store.close_session(id, "stopped")
    return visitor


def ask(cell: Cell, visitor: Visitor) -> httpx.Response:
    """Take the cell's path to a server."""
    hub, options = cell.hub, cell.options
    page = f"hub/spawn/{cell.user}/{cell.server}".rstrip("/")
    if cell.path == "api":
        chosen = {name.removeprefix("profile-option-"): value for name, value in options.items()}
        body = {"user_options": chosen} if cell.row.version == "6.1" else chosen
        return hub.api(f"users/{cell.user}/server", "POST", json=body)
    if cell.path == "admin":
        visitor = hub.login("admin")
    if cell.path in ("form", "link"):
        options["charged_group"] = matrix.group_of(cell.outcome)
    if cell.path == "link":
        query = "&".join(f"opt-{name}={quote(value)}" for name, value in options.items())
        return visitor.get(f"{page}?{query}")
    if options and not cell.only_looks:
        return visitor.send_form(page, **options)
    return visitor.get(page)


def looked(cell: Cell, answer: httpx.Response) -> None:
    """The form itself says which profiles start, and why others don't."""
    assert answer.status_code == 200
    shown = html.unescape(answer.text)
    if cell.outcome == "admit":
        for profile in ("Small", "Choose yourself", "GPU"):
            assert re.search(rf"<strong>{profile}</strong>: would start; what is left lasts", shown)
    else:
        assert matrix.words(cell.outcome, cell.row.kind.asked)[0] in shown
        assert not re.search(r"<strong>Small</strong>: would start", shown)
    nothing_started(cell)
    names_nobody_else(cell, shown)


def refused(cell: Cell, answer: httpx.Response, visitor: Visitor) -> None:
    assert answer.status_code == 403
    shown = answer.json()["message"] if cell.path == "api" else html.unescape(answer.text)
    events = visitor.progress(cell.server)
    assert events[-1]["failed"]
    for said in matrix.words(cell.outcome, cell.row.kind.asked):
        assert said in shown
        assert said in events[-1]["message"]
    names_nobody_else(cell, shown)
    names_nobody_else(cell, events[-1]["message"])
    nothing_started(cell)
    assert f"Refused {cell.user}:{cell.server} (quota-{cell.outcome})" in cell.hub.log


def names_nobody_else(cell: Cell, shown: str) -> None:
    assert set(re.findall(r"pat(?:-[a-z]+)+", shown)) <= {cell.user, f"pat-{cell.path}"}
    assert matrix.HOLDER not in shown


def nothing_started(cell: Cell) -> None:
    known = cell.hub.api(f"users/{cell.user}").json()["servers"]
    assert not [s for s in known.values() if s["ready"] or s["pending"]]
    assert asked_of(cell) is None, "nothing was made"
    left = [s for s in cell.hub.ledger().open_sessions(cell.user) if s.hub != "other"]
    assert left == [], "a refused server holds nothing"


def admitted(cell: Cell, answer: httpx.Response) -> None:
    """Charged for what was really asked for, to the group that was chosen, until it stops."""
    hub, store = cell.hub, cell.hub.ledger()
    assert answer.status_code < 400, html.unescape(answer.text)[-3000:]
    wait_for(f"the server of {cell.user}", lambda: hub.server(cell.user, cell.server))
    [session] = wait_for(
        "the ledger to hear of it",
        lambda: [s for s in store.open_sessions(cell.user) if s.started_at],
    )
    assert session.group == matrix.group_of("admit")
    assert session.granted == cell.row.kind.charged[cell.path]
    assert session.granted == asked_of(cell)

    if cell.row.kind.has_pods:
        [pod] = pods_of(cell)
        metadata = pod["received"]["metadata"]
        assert metadata["annotations"]["jupyterhub-group-quotas/group"] == session.group
        assert metadata["annotations"]["jupyterhub-group-quotas/session"] == session.id
        assert metadata["labels"]["jupyterhub-group-quotas/group"].startswith("uni-admit-course--")

    name = f"servers/{cell.server}" if cell.server else "server"
    assert hub.api(f"users/{cell.user}/{name}", "DELETE").is_success
    wait_for("the end", lambda: not store.open_sessions(cell.user))
    ended = store.session(session.id)
    assert ended.reason == "stopped"
    assert session.started_at < ended.closed_at <= now()


def pods_of(cell: Cell) -> list[dict]:
    """All that were ever made for this user."""
    key = "hub.jupyter.org/username"
    made = cell.row.cluster.created(cell.hub)
    return [p for p in made if p["received"]["metadata"]["annotations"][key] == cell.user]


def asked_of(cell: Cell) -> dict[str, int] | None:
    """What the spawner asked of whatever runs its servers; None where it asked for nothing."""
    if cell.row.kind.has_pods:
        made = pods_of(cell)
        return matrix.asked_by(made[-1]["received"]) if made else None
    if cell.row.kind.world == "formless":
        return asked_of_process(cell)
    folder = "containers" if cell.row.kind.world == "docker" else "units"
    told = [
        json.loads(file.read_text())
        for file in (Path(cell.hub.folder) / folder).glob("*.json")
        if cell.user in file.name.replace("-2d", "-")  # as DockerSpawner writes a dash
    ]
    if not told:
        return None
    if folder == "containers":
        given = told[0]["host_config"]
        cores = given["CpuQuota"] / given["CpuPeriod"]
        return {"servers": 1, "memory": given["Memory"], "cpu": round(1000 * cores)}
    given = told[0]["properties"]
    cpu = 10 * int(given["CPUQuota"].rstrip("%"))
    return {"servers": 1, "memory": int(given["MemoryMax"]), "cpu": cpu}


def asked_of_process(cell: Cell) -> dict[str, int] | None:
    for process in psutil.Process(cell.hub.process.pid).children(recursive=True):
        try:
            told = process.environ()
        except psutil.Error:
            continue
        if told.get("JUPYTERHUB_USER") == cell.user:
            cpu = round(1000 * float(told["CPU_LIMIT"]))
            return {"servers": 1, "memory": int(told["MEM_LIMIT"]), "cpu": cpu}
    return None


def after(row: Row) -> None:
    """The hub took no refusal for a failure, and nothing is held but what somebody else holds."""
    for result in row.results.values():
        result.exception()  # each test says its own
    assert "consecutive spawns failed" not in row.hub.log
    at = row.hub.log.find("Traceback")
    assert at < 0, row.hub.log[max(0, at - 1000) : at + 3000]
    assert "Rolling back" not in row.hub.log, "the hub would read all that runs anew"
    held = [s for s in row.hub.ledger().open_sessions() if s.hub != "other"]
    assert held == []

    row.hub.api("users/broken", "POST")
    for _ in range(2):
        assert row.hub.api("users/broken/server", "POST").status_code == 500
    counts = re.findall(r"(\d+) consecutive spawns failed", row.hub.log)
    assert counts == ["2"], "failures count, and only failures do"
    assert "Aborting" not in row.hub.log
    assert row.hub.process.poll() is None, row.hub.log[-3000:]


# -- the table --------------------------------------------------------------------------------


def table() -> list:
    found = []
    for version, kind in itertools.product(matrix.HUBS, KINDS):
        cells = [*itertools.product(matrix.PATHS, matrix.OUTCOMES), (AFTER, "all")]
        for path, outcome in cells:
            sampled = matrix.is_sampled(version, kind, path, outcome)
            found.append(
                pytest.param(
                    *(version, kind, path, outcome),
                    id=f"{version}-{kind}-{path}-{outcome}",
                    marks=() if sampled else pytest.mark.slow,
                )
            )
    return found


@pytest.mark.parametrize(("version", "kind", "path", "outcome"), table())
def test_a_cell(row_of, version, kind, path, outcome):
    row = row_of(version, kind)
    if path == AFTER:
        after(row)
    else:
        row.results[path, outcome].result()
