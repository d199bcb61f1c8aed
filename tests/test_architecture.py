"""The code is cut as docs/architecture.md says."""

from __future__ import annotations

import ast
import re
import sys

from hubs import ROOT

PACKAGES = ["hub_groups", "hub_quotas", "share_links"]


def rooms() -> dict[str, set[str]]:
    """Modules by room, from the table in the document."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = text.partition("## Rooms")[2].partition("## ")[0]
    found: dict[str, set[str]] = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and cells[0] not in ("room", "---"):
            found[cells[0]] = {
                f"{package}.{module}"
                for package, cell in zip(PACKAGES, cells[2:], strict=True)
                for module in re.findall(r"`(\w+)`", cell)
            }
    return found


def imports(module: str) -> set[str]:
    """What a module imports, by full name."""
    package = module.partition(".")[0]
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.module:  # from . import name
            found |= {f"{package}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = f"{package}.{node.module}" if node.level else str(node.module)
            found.add(source)
    return found


def modules() -> set[str]:
    return {
        f"{package}.{path.stem}"
        for package in PACKAGES
        for path in (ROOT / package).glob("*.py")
        if path.stem != "__init__"
    }


def test_every_module_has_its_room():
    named = rooms()
    assert {"core", "store", "hub side", "service", "config", "command line"} == set(named)
    assert set().union(*named.values()) == modules()


PURE = {
    "hub_groups.rules": {"jmespath"},
    "hub_groups.said": {"jmespath"},
    "share_links.tokens": {"jwt", "cryptography"},
}
"""Libraries that a core may import: values in, values out, like the standard library's `re`."""


def test_cores_import_nothing_but_the_standard_library_and_cores():
    core = rooms()["core"]
    for module in core:
        for name in imports(module):
            if name.partition(".")[0] in PURE.get(module, ()):
                continue
            assert name in core or name.partition(".")[0] in sys.stdlib_module_names, (module, name)
        assert not imports(module) & {"time", "os", "socket", "sqlite3", "asyncio"}, module


def test_imports_go_one_way():
    for module in modules():
        below = PACKAGES[: PACKAGES.index(module.partition(".")[0]) + 1]
        for name in imports(module):
            assert name.partition(".")[0] not in set(PACKAGES) - set(below), (module, name)


def test_only_stores_speak_sql():
    stores = rooms()["store"]
    for module in modules():
        names = {name for name in imports(module) if name.startswith("sqlalchemy")}
        # The hub's own database, of which it hands us objects, is not ours to query.
        assert module in stores or names <= {"sqlalchemy.orm"}, module


def test_files_read_in_one_sitting():
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        assert len(path.read_text().splitlines()) <= 450, path


def test_the_storage_agent_needs_nothing_else():
    """It runs on file servers that have no hub."""
    for path in (ROOT / "hub_quotas" / "storage_agent").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                own = node.level == 1 or (node.module or "").startswith("__future__")
                names = [] if own else [str(node.module)]
                assert node.level < 2, path
            else:
                names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names, path
