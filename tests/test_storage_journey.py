"""A home that gets full, as its owner and an admin live through it: in a browser, on btrfs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import filesystems
import pytest
from agents import StorageAgent
from filesystems import OWNER, Filesystem
from hubs import Hub, wait_for
from playwright.sync_api import Error, Page, expect

pytestmark = [pytest.mark.slow, pytest.mark.browser]

MIB = 2**20
START_MS = 90_000
LIMIT_SECONDS = 5


@pytest.fixture(scope="module")
def filesystem() -> Iterator[Filesystem]:
    yield from filesystems.mounted("btrfs")


@pytest.fixture(scope="module")
def hub(start_hub, filesystem) -> Hub:
    roster = "user,group,role\npat,geo,\n"
    return start_hub("storage", lab=True, homes=f"{filesystem.path}/homes", roster=roster)


@pytest.fixture(scope="module")
def agent(hub, filesystem, tmp_path_factory) -> Iterator[StorageAgent]:
    folder = tmp_path_factory.mktemp("agent")
    made = StorageAgent(folder, hub, filesystem.path, "--create", f"{OWNER}:{OWNER}")
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def home(hub, agent, filesystem) -> Path:
    """pat's, in which a cache takes most."""
    hub.limits("geo: {member.storage: 200M}")
    path = filesystem.path / "homes/pat"
    wait_for("the home", path.is_dir)
    (path / "downloads").mkdir()
    (path / "downloads" / "large.bin").write_bytes(os.urandom(90 * MIB))
    (path / "thesis.txt").write_text("a year of work")
    return path


def sign_in(hub: Hub, page: Page, user: str, then: str) -> None:
    page.goto(f"{hub.base}hub/login?next=/{then}")
    page.locator("[name=username]").fill(user)
    page.get_by_role("button", name="Sign in").click()


def start(hub: Hub, page: Page, where: str) -> None:
    """As the page that waits does it, which on a slow machine gives up."""
    page.goto(f"{hub.base}hub/spawn")
    wait_for("the server", lambda: hub.server("pat"), START_MS / 1000)
    with suppress(Error):  # the page that waits may go there at the same moment
        page.goto(f"{hub.base}user/pat/")
    page.wait_for_url(f"**/user/pat/{where}**", timeout=START_MS)


def stop(hub: Hub) -> None:
    assert hub.api("users/pat/server", "DELETE").status_code in (202, 204)
    wait_for("the end", lambda: not hub.api("users/pat").json()["servers"])


_numbers = count()


class Terminal:
    """One in JupyterLab. What it says is read from a file: its letters are painted."""

    def __init__(self, page: Page, said: Path) -> None:
        self._page, self._said = page, said
        page.locator(".jp-LauncherCard", has_text="Terminal").first.click(timeout=START_MS)
        self._screen = page.locator(".jp-Terminal .xterm-screen").last
        self._screen.wait_for()
        self.run("true")

    def start(self, command: str) -> tuple[Path, Path]:
        """Where what it says will be, and a file that is there when it is done."""
        number = next(_numbers)
        out, done = (self._said / f"{number}.{kind}" for kind in ("out", "done"))
        self._screen.click()
        self._page.keyboard.type(f"({command}) 2>&1 | tee {out}; touch {done}")
        self._page.keyboard.press("Enter")
        return out, done

    def run(self, command: str) -> str:
        """What it says, when it is done."""
        out, done = self.start(command)
        wait_for(f"the end of {command}", done.exists)
        return out.read_text()


def test_a_limit_is_lowered_the_home_is_full_and_its_owner_goes_on(hub, home, new_page, tmp_path):
    pat = new_page(viewport={"width": 1280, "height": 800})
    sign_in(hub, pat, "pat", "hub/home")
    start(hub, pat, "lab")
    terminal = Terminal(pat, tmp_path)
    assert "copied" in terminal.run("dd if=/dev/urandom of=~/more.bin bs=1M count=10")

    writes = terminal.start(
        "while dd if=/dev/urandom of=$HOME/new.bin bs=64k count=4 conv=fsync; do sleep 0.2; done"
    )
    admin = new_page()
    sign_in(hub, admin, "admin", "services/quotas/groups/geo")
    admin.get_by_role("textbox", name="Storage, each member").fill("60M")
    assert not writes[1].exists()
    lowered = time.time()
    admin.get_by_role("button", name="Save", exact=True).click()
    wait_for("a write to fail", writes[1].exists)
    assert writes[1].stat().st_mtime - lowered < LIMIT_SECONDS
    assert "Disk quota exceeded" in writes[0].read_text()
    expect(admin.get_by_role("status").filter(has_text="Saved.")).to_be_visible()
    assert (home / "thesis.txt").read_text() == "a year of work"
    assert (home / "downloads/large.bin").stat().st_size == 90 * MIB

    # The pages say it, to both.
    usage = new_page()
    sign_in(hub, usage, "pat", "services/quotas/")
    storage = usage.get_by_role("region", name="Storage")
    expect(storage).to_contain_text("Nothing more can be written here", timeout=40_000)
    expect(storage).to_contain_text("of 60 MiB used")
    admin.goto(f"{hub.base}services/quotas/groups/geo")
    expect(admin.get_by_role("main")).to_contain_text("pat")

    # A server starts all the same, and shows what fills the home.
    stop(hub)
    start(hub, pat, "lab/tree/downloads")
    expect(pat.get_by_role("listitem", name="large.bin")).to_be_visible(timeout=START_MS)
    terminal = Terminal(pat, tmp_path)
    assert terminal.run("rm -v ~/downloads/large.bin").startswith("removed")
    usage.reload()
    expect(storage).not_to_contain_text("Nothing more can be written here", timeout=60_000)

    # And goes on as before.
    stop(hub)
    start(hub, pat, "lab")
    terminal = Terminal(pat, tmp_path)
    assert "copied" in terminal.run("dd if=/dev/urandom of=~/new.bin bs=1M count=4 conv=fsync")
