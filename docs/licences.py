"""The licences of what comes with the packages, from what is installed: `python docs/licences.py`.

Writes docs/licences.md. Needs an environment with all extras that hubs have, as `make test` has.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PAGE = Path(__file__).with_name("licences.md")
OURS = "jupyterhub-group-quotas"
EXTRAS = ("postgres", "ldap", "scim")

KINDS = {
    "MIT": r"\bMIT\b",
    "BSD": r"\bBSD\b",
    "Apache": r"\bApache\b",
    "ISC": r"\bISC\b",
    "PSF": r"\bPSF\b|Python Software Foundation",
    "Unlicense": r"Unlicense",
    "MPL": r"\bMPL\b|Mozilla Public",
    "LGPL": r"\bLGPL|Lesser General Public",
    "AGPL": r"\bAGPL|Affero",
    "GPL": r"\bGPL|(?<!Lesser )(?<!Affero )General Public",
}
"""What licences are known by: packages say the same one in several ways, and change that."""

ALLOWED = {"MIT", "BSD", "Apache", "ISC", "PSF", "Unlicense", "MPL", "LGPL"}
"""Those whose packages may come with packages under the BSD licence. The last two ask that changes
of their own files are given on; we change none."""

_START = """# Licences

The packages are under the [BSD 3-Clause licence](../LICENSE), and hold no code of others. This is
what pip installs beside them, all of it, and what each says of its licence.
[Dependencies](dependencies.md) says why we need those that we name; versions are in the SBOM of a
[release](releasing.md).

Made by `python docs/licences.py` on Python {python}; other versions of Python may bring a few more.
"""


def said(metadata: Mapping[str, str], classifiers: Iterable[str] = ()) -> str:
    """What a package says of its licence, in the best of the places where packages do.

    Args:
        metadata: its `License-Expression` and `License`.
        classifiers: its trove classifiers.
    """
    expression = metadata.get("License-Expression") or ""
    named = [c.rpartition(" :: ")[2] for c in classifiers if c.startswith("License :: ")]
    # Some have the whole text there, with the name in its first line at best.
    text = (metadata.get("License") or "").strip().partition("\n")[0].strip()
    return expression or ("" if text == "UNKNOWN" else text) or ", ".join(named)


def kinds(licence: str) -> set[str]:
    """Which licences are named, in our words; none where none is known."""
    return {kind for kind, pattern in KINDS.items() if re.search(pattern, licence)}


def licence_of(found: Distribution) -> str:
    known = found.metadata
    fields = {name: known[name] for name in ("License-Expression", "License") if name in known}
    return said(fields, known.get_all("Classifier") or ())


def installed_with(extra: str = "") -> dict[str, Distribution]:
    """What is installed because of us, by name, with an extra of ours or without; not ourselves."""
    found: dict[str, Distribution] = {}
    todo, done = [(OURS, frozenset([extra]))], set()
    while todo:
        wanted = todo.pop()
        if wanted in done:
            continue
        done.add(wanted)
        name, extras = wanted
        try:
            known = distribution(name)
        except PackageNotFoundError:
            raise SystemExit(
                f"{name} is not installed; use the environment of `make test`."
            ) from None
        found[canonicalize_name(name)] = known
        for text in known.requires or ():
            needed = Requirement(text)
            marker = needed.marker
            if marker is None or any(marker.evaluate({"extra": one}) for one in {"", *extras}):
                todo.append((needed.name, frozenset(needed.extras)))
    del found[canonicalize_name(OURS)]
    return found


def tables() -> dict[str, dict[str, str]]:
    """Licences by package: what comes always, under "", and what each extra adds."""
    always = {name: licence_of(found) for name, found in installed_with().items()}
    return {"": always} | {
        extra: {
            name: licence_of(found)
            for name, found in installed_with(extra).items()
            if name not in always
        }
        for extra in EXTRAS
    }


def problems(licences: Mapping[str, str]) -> list[str]:
    """One sentence for each package that should not come with ours.

    Args:
        licences: by package.
    """
    return [
        f"{name} says {licence!r} of its licence; allowed are {', '.join(sorted(ALLOWED))}."
        for name, licence in sorted(licences.items())
        if not kinds(licence) or not kinds(licence) <= ALLOWED
    ]


def listed(page: str) -> dict[str, str]:
    """Licences by package, from the text of the page."""
    return dict(re.findall(r"^\| ([a-z0-9-]+) \| (.+) \|$", page, re.MULTILINE))


def document() -> str:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    parts = [_START.format(python=python)]
    for extra, licences in tables().items():
        parts.append(f"## With the extra `{extra}` also" if extra else "## In the hub")
        rows = [f"| {name} | {licence} |" for name, licence in sorted(licences.items())]
        parts.append("\n".join(["", "| package | licence |", "| --- | --- |", *rows, ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    refused = problems({name: one for table in tables().values() for name, one in table.items()})
    if refused:
        raise SystemExit("\n".join(refused))
    PAGE.write_text(document())
