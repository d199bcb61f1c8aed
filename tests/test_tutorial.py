"""The tutorial from top to bottom: every command of the page, and what it says comes of it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from bs4 import BeautifulSoup
from hubs import HERE, ROOT, Hub, Visitor, free_port, wait_for

from share_links.forms import read

pytestmark = [pytest.mark.slow, pytest.mark.hub]

PAGE = (ROOT / "docs" / "tutorial.md").read_text()
END = secrets.token_hex(8)


class Terminal:
    """One shell of the reader's: a block is typed when the one before it is done."""

    def __init__(self) -> None:
        self.shell = subprocess.Popen(
            ["bash", "-eu"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        )

    def type(self, block: str) -> str:
        """What the block prints; it fails where any of its commands does."""
        self.shell.stdin.write(f"{block}\necho {END}\n")
        self.shell.stdin.flush()
        said = ""
        for line in self.shell.stdout:
            if line == f"{END}\n":
                return said
            said += line
        raise AssertionError(said)

    def start(self, command: str, log: Path) -> subprocess.Popen[str]:
        """A command that goes on; it takes the shell's place."""
        self.shell.stdin.write(f"exec {command} >{shlex.quote(str(log))} 2>&1\n")
        self.shell.stdin.close()
        return self.shell

    def close(self) -> None:
        if self.shell.poll() is None:
            self.shell.terminate()
            self.shell.wait(30)
        self.shell.stdin.close()
        self.shell.stdout.close()


class TutorialHub(Hub):
    """The hub that the reader has made, as visitors find it."""

    def __init__(self, url: str) -> None:
        self.url, self.base = url, f"{url}/"


@pytest.fixture
def terminals():
    opened = [Terminal(), Terminal()]
    yield opened
    for terminal in opened:
        terminal.close()


def blocks(folder: Path, url: str) -> list[tuple[str, str]]:
    """All blocks of the page with their language, for another folder and port than it names."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    here = str(folder / "first-hub")
    return [
        (language, text.replace("/tmp/first-hub", here).replace("http://127.0.0.1:8000", url))
        for language, text in found
    ]


def without_ports_of_others(block: str) -> str:
    """The hub's inner ports may be those of another test; and CI is root, readers are not."""
    ours = f"""\
import runpy, jupyterhub.spawner
jupyterhub.spawner.random_port = runpy.run_path("{HERE / "worlds" / "ports.py"}")["free_port"]
c.JupyterHub.hub_port = {free_port()}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{free_port()}"
c.Spawner.args = {["--allow-root"] if os.geteuid() == 0 else []}
"""
    return block.replace("\nEND\n", f"\n{ours}END\n")


def install_from_here(block: str) -> str:
    block = block.replace("jupyterhub-group-quotas", shlex.quote(str(ROOT)))
    return block.replace("pip install", "uv pip install --quiet") if shutil.which("uv") else block


def starts(visitor: Visitor) -> httpx.Response:
    visitor.get("hub/spawn")
    return wait_for(
        "an answer to the start",
        lambda: (page := visitor.get("hub/spawn-pending/" + visitor.user)) and settled(page),
    )


def settled(page: httpx.Response) -> httpx.Response | None:
    return page if "/user/" in str(page.url) or page.status_code >= 400 else None


def words(page: httpx.Response) -> str:
    return " ".join(BeautifulSoup(page.text, "html.parser").get_text().split())


def test_all_of_it_in_order(terminals, tmp_path):
    first, second = terminals
    url = f"http://127.0.0.1:{free_port()}"
    (install, configure, run, limit, changed, refusal, explain, book, link) = blocks(tmp_path, url)
    assert [one[0] for one in (changed, refusal)] == ["text", "text"]

    first.type(install_from_here(install[1]))
    first.type(without_ports_of_others(configure[1]))
    assert run[1] == "jupyterhub\n"
    log = tmp_path / "hub.log"
    log.touch()
    process = first.start(run[1].strip(), log)
    wait_for("the hub", lambda: "JupyterHub is now running" in log.read_text() or process.poll())
    hub = TutorialHub(url)
    sam = hub.login("sam", "demo")
    assert "/user/sam/" in str(starts(sam).url), log.read_text()
    assert sam.get("services/quotas/").status_code == 200

    assert second.type(limit[1]).endswith(changed[1])
    kim = hub.login("kim", "demo")
    refused = starts(kim)
    assert refused.status_code == 403
    assert " ".join(refusal[1].split()) in words(refused)
    said = second.type(f"{explain[1].strip()} || test $? = 3")
    assert "NO  default · group.servers: 1" in said

    admin = hub.login("admin", "demo")
    page = "services/quotas/groups/default"
    assert "Servers, the whole group" in words(admin.get(page))
    assert admin.send_form(page, **{"limit:group.servers": "2"}).status_code == 200
    assert "/user/kim/" in str(starts(kim).url)

    second.type(book[1])
    (address,) = re.findall(r"\]\((http\S+)\)", second.type(link[1]))
    assert address.startswith(f"{url}/services/launch/open?")
    assert "Go on only if you trust" in words(sam.get(address))
    progress = sam.send_form(address.removeprefix(hub.base))
    wait_for("the link to end", lambda: "/lab/" in str(sam.get(progress.url).url))
    opened = tmp_path / "first-hub/homes/sam/book/first-map.ipynb"
    assert json.loads(opened.read_text())["nbformat"] == 4
    launch = read(address).launch  # as that of the button on the page: test_book_of_docs.py
    assert launch.content.repository == f"file://{tmp_path}/first-hub/book"
    assert launch.target.file == opened.name
