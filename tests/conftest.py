"""Fixtures: real hubs, a real browser, the demo. Each test gets its mark from what it asks for."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import NoBrowser, open_chromium
from cluster import Cluster
from hubs import Demo, Hub, made_once, make_venv
from postgres import NoPostgres, open_postgres

ROOT = Path(__file__).parent.parent
PACKAGES = ("hub_groups", "hub_quotas", "share_links")

# -- marks ------------------------------------------------------------------------------------

NEEDS = {
    "browser": {"new_page"},
    "hub": {"start_hub", "fresh_hub", "demo", "hub55", "sandbox", "kubernetes"},
}
MARKS = {"pure", "hub", "browser"}
_ran: Counter[str] = Counter()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--each-mark-ran",
        action="store_true",
        help="fail unless at least one pure, one hub and one browser test ran",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not MARKS & {mark.name for mark in item.iter_markers()}:
            asks_for = set(getattr(item, "fixturenames", ()))
            needs = (mark for mark, any_of in NEEDS.items() if asks_for & any_of)
            item.add_marker(next(needs, "pure"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """What a hub or a cluster said last is part of what a test that failed says."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if isinstance(value, (Hub, Cluster)):
                report.sections.append((f"log of {name}", value.log[-6000:]))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" and not report.skipped:
        _ran.update(MARKS & set(report.keywords))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(
        "ran: " + ", ".join(f"{_ran[mark]} {mark}" for mark in ("pure", "hub", "browser"))
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    in_a_worker = hasattr(session.config, "workerinput")  # of pytest-xdist, which sees a part
    if session.config.getoption("--each-mark-ran") and set(_ran) != MARKS and not in_a_worker:
        print(f"\n--each-mark-ran: some mark ran no test: {dict(_ran)}", file=sys.stderr)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_configure() -> None:
    """Tests run against the installed packages; make sure that these are the ones on disk."""
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        installed = Path(spec.origin).parent if spec and spec.origin else None
        for source in sorted((ROOT / name).rglob("*")):
            if source.is_file() and source.suffix not in (".pyc", ".po"):  # not installed
                copy = installed and installed / source.relative_to(ROOT / name)
                if not copy or not copy.exists() or copy.read_bytes() != source.read_bytes():
                    pytest.exit(f"{source} is not what is installed; use `make test`.", 2)


# -- hubs -------------------------------------------------------------------------------------

StartHub = Callable[..., Hub]


def _check_log(hub: Hub) -> None:
    """What must not happen on any hub, whatever a test is about.

    A change of the hub's database that we do not commit before the hub serves somebody else is
    rolled back, and the hub reads all of its running servers anew.
    """
    assert "Rolling back" not in hub.log, hub.log_file


class Hubs:
    """One for equal arguments, for as long as it is among those that were asked for last."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        self._factory = factory
        self._running: dict[str, Hub] = {}

    def start(self, world: str, python: str = sys.executable, **settings) -> Hub:
        key = repr((world, python, sorted(settings.items())))
        hub = self._running.pop(key, None)
        if not hub:
            hub = Hub(self._factory.mktemp(world), world, python, **settings)
            hub.start()
        self._running[key] = hub
        return hub

    def end(self, all_but: int = 0) -> None:
        """Also one that does nothing takes a few percent of a core."""
        for key in list(self._running)[: len(self._running) - all_but]:
            hub = self._running.pop(key)
            hub.end()
            _check_log(hub)


_HUBS = pytest.StashKey[Hubs]()


@pytest.fixture(scope="session")
def start_hub(request: pytest.FixtureRequest, tmp_path_factory) -> Iterator[StartHub]:
    """Start a real hub: `start_hub(world, python=..., **settings)`; one for equal arguments."""
    hubs = request.session.stash[_HUBS] = Hubs(tmp_path_factory)
    yield hubs.start
    hubs.end()


@pytest.fixture(scope="module", autouse=True)
def _few_hubs(request: pytest.FixtureRequest) -> None:
    """No test of an earlier file comes again: its hubs are asked for anew, or not at all."""
    hubs = request.session.stash.get(_HUBS, None)
    if hubs:
        hubs.end(all_but=2)


@pytest.fixture
def fresh_hub(tmp_path: Path) -> Iterator[StartHub]:
    """The same for a test that needs a hub of its own."""
    hubs: list[Hub] = []

    def start(world: str, **settings) -> Hub:
        hubs.append(Hub(tmp_path, world, **settings))
        hubs[-1].start()
        return hubs[-1]

    yield start
    for hub in hubs:
        hub.end()
        _check_log(hub)


@pytest.fixture(scope="session")
def hub55(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an otherwise empty environment with JupyterHub 5.5 and our packages."""
    needs = (
        *("jupyterhub==5.5.*", "configurable-http-proxy", "jupyterhub-fancy-profiles"),
        *("oauthenticator>=17.4", "jupyterhub-ldapauthenticator", "jupyterhub-ltiauthenticator"),
        *("dockerspawner", "jupyterhub-kubespawner", "jupyterhub-systemdspawner"),
        str(ROOT),
    )
    folder = made_once(tmp_path_factory, "hub55", lambda folder: make_venv(folder, *needs))
    return str(folder / "bin" / "python")


@pytest.fixture(scope="session")
def book_1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of Jupyter Book 1, which can't be where Jupyter Book 2 is."""
    needs = ("jupyter-book<2", str(ROOT))
    folder = made_once(tmp_path_factory, "book1", lambda folder: make_venv(folder, *needs))
    return folder / "bin" / "jupyter-book"


@pytest.fixture(scope="session")
def book_2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("node"):
        pytest.skip("MyST needs Node.js")
    folder = made_once(
        tmp_path_factory, "book2", lambda folder: make_venv(folder, "jupyter-book>=2")
    )
    return folder / "bin" / "jupyter-book"


@pytest.fixture(params=["6.1", pytest.param("5.5", marks=pytest.mark.slow)])
def each_hub(request: pytest.FixtureRequest) -> str:
    """The Python of an environment with each JupyterHub that we know."""
    return sys.executable if request.param == "6.1" else request.getfixturevalue("hub55")


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster for the `kube` worlds, whose hubs take `**kubernetes.hub_settings`."""
    cluster = Cluster(tmp_path_factory.mktemp("kubernetes"))
    cluster.start()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """What `make demo` starts."""
    running = Demo(tmp_path_factory.mktemp("demo"))
    running.start()
    yield running
    running.stop()


@pytest.fixture
def sandbox(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command as a newcomer would, in an empty folder."""

    def run(*command: str | Path, **options) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(part) for part in command],
            **{"cwd": tmp_path, "text": True, "capture_output": True, "timeout": 300, **options},
        )

    return run


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real PostgreSQL server; `postgres.fresh_database` makes a database on it for a test."""
    try:
        with open_postgres(tmp_path_factory.mktemp("postgres")) as url:
            yield url
    except NoPostgres as reason:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(reason))


# -- browser ----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    try:
        with open_chromium() as browser:
            yield browser
    except NoBrowser as reason:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(reason))


@pytest.fixture
def new_page(chromium) -> Iterator[Callable]:
    """A page of a browser of its own: `new_page()`, one for each person in a test."""
    contexts = []

    def make(**options):
        contexts.append(chromium.new_context(**options))
        contexts[-1].set_default_timeout(15_000)
        return contexts[-1].new_page()

    yield make
    for context in contexts:
        context.close()
