"""A Chromium to test with: one that is found, else one that gets installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Error, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No sandbox: CI runs as root. The rest keeps it from calling home.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class NoBrowser(RuntimeError):
    """No Chromium is here and none can be installed; the message says why."""


def find() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def install() -> str | None:
    """By apt on Debian as root, else Playwright's own. Returns its path; None for Playwright's."""
    tried = []
    commands = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and os.geteuid() == 0:
        apt = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium"]
        commands.insert(0, ["sh", "-c", f"apt-get update --quiet && {' '.join(apt)}"])
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode == 0:
            return find()
        tried.append(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()[-300:]}")
    raise NoBrowser("No Chromium was found, and none could be installed.\n" + "\n".join(tried))


@contextmanager
def open_chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        try:
            path = find() or install()
            browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        except Error as error:
            raise NoBrowser(f"Chromium does not start: {error}") from error
        yield browser
        browser.close()
