"""axe-core, in any page of a browser: from npm, and only in tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Page

MAJOR = 4
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]

_KEPT = Path(sys.prefix) / f".axe-core-{MAJOR}.js"

_RUN = """([tags, within]) =>
  axe.run(within || document, {runOnly: tags, resultTypes: ["violations"]}).then((found) =>
    found.violations.map((rule) => {
      const where = rule.nodes.map((node) => node.html).slice(0, 3).join("\\n  ");
      return `${rule.id}, ${rule.nodes.length} times: ${rule.nodes[0].failureSummary}\\n  ${where}`;
    }))
"""


@cache
def source() -> str:
    """axe-core as a script; it stays in the environment that the tests run in.

    Where it can't be had, the test is skipped; with `CI=true` it fails.
    """
    if not _KEPT.exists():
        with tempfile.TemporaryDirectory(dir=sys.prefix) as folder:
            packing = [shutil.which("npm") or "npm", "pack", "--silent", f"axe-core@{MAJOR}"]
            try:
                subprocess.run(packing, cwd=folder, check=True, capture_output=True, timeout=120)
            except (OSError, subprocess.SubprocessError) as error:
                reason = f"axe-core can't be had from npm: {error}"
                if os.environ.get("CI") == "true":
                    pytest.fail(reason)
                pytest.skip(reason)
            (archive,) = Path(folder).glob("*.tgz")
            with tarfile.open(archive) as packed:
                script = packed.extractfile("package/axe.min.js")
                assert script
                (Path(folder) / "axe.js").write_bytes(script.read())
            (Path(folder) / "axe.js").replace(_KEPT)  # at once, for others that run beside this
    return _KEPT.read_text()


def violations(page: Page, within: str = "") -> str:
    """What axe-core finds wrong with a page as it is now, or with a part of it; empty for nothing.

    It is evaluated by the browser's debugger, so the page's content security policy stays on.
    """
    page.evaluate(source())
    return "\n\n".join(page.evaluate(_RUN, [TAGS, within]))
