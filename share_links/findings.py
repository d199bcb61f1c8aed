"""What a check of a book finds, and how it is told: to people, and to programs. Pure."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET  # noqa: S405 - written, never read
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from urllib.parse import quote

ERROR, WARNING = "error", "warning"


@dataclass(frozen=True)
class Kind:
    """One kind of finding.

    Attributes:
        severity: ERROR where a reader does not get where they should, WARNING where they may not.
        about: what is wrong, in general.
    """

    severity: str
    about: str


KINDS = {
    "SL101": Kind(ERROR, "The repository can't be reached."),
    "SL102": Kind(WARNING, "The repository wants a login."),
    "SL103": Kind(ERROR, "The repository has no such branch, tag or commit."),
    "SL104": Kind(ERROR, "The file is not in the repository."),
    "SL105": Kind(ERROR, "The book is in another folder of the repository."),
    "SL106": Kind(ERROR, "The table of contents names a file that is not there."),
    "SL107": Kind(WARNING, "An entry of pages is about no page."),
    "SL108": Kind(WARNING, "A link can't carry all that the page asks for."),
    "SL109": Kind(ERROR, "A page says what can't be used."),
    "SL110": Kind(WARNING, "A page has changes that are not committed."),
    "SL111": Kind(WARNING, "There are commits that are not pushed."),
    "SL112": Kind(WARNING, "share_links.json is older than what it was made from."),
    "SL201": Kind(ERROR, "A link leads to no launch."),
    "SL202": Kind(ERROR, "A link has options with and without opt-."),
    "SL203": Kind(ERROR, "A link is encoded twice."),
    "SL204": Kind(ERROR, "A link opens another folder than it pulls."),
    "SL205": Kind(WARNING, "A link is not encrypted."),
    "SL206": Kind(ERROR, "A link has a sign in it that ends it."),
    "SL207": Kind(ERROR, "A link has options that reach no server."),
    "SL301": Kind(ERROR, "The hub can't be reached."),
    "SL302": Kind(ERROR, "The hub is too old for its links."),
    "SL303": Kind(ERROR, "The hub does not resolve links."),
    "SL304": Kind(ERROR, "The hub would refuse a launch."),
    "SL305": Kind(ERROR, "The server can't pull the repository."),
    "SL306": Kind(WARNING, "The hub could not be asked about its profiles and quotas."),
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        code: one of KINDS.
        message: what, in a sentence.
        fix: what to do, in a sentence.
        page: where, within the book.
        line: of the page, from 1; 0 for the page as a whole.
    """

    code: str
    message: str
    fix: str
    page: str
    line: int = 0

    @property
    def severity(self) -> str:
        """ERROR or WARNING."""
        return KINDS[self.code].severity


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether some reader does not get where they should."""
    return any(one.severity == ERROR for one in findings)


def as_text(findings: Sequence[Finding], pages: Sequence[str], _top: str = "") -> str:
    """A table: page, code, what is wrong, and below it what to do."""
    where = [f"{one.page}:{one.line}" if one.line else one.page for one in findings]
    width = min(max(map(len, where), default=0), 40)
    lines = []
    for place, one in zip(where, findings, strict=True):
        lines.append(f"{place.ljust(width)}  {one.code} {one.severity.ljust(7)}  {one.message}")
        lines.append(f"{' ' * width}  {' ' * 13}  {one.fix}")
    counts = {kind: sum(1 for one in findings if one.severity == kind) for kind in (ERROR, WARNING)}
    said = [_count(n, kind) for kind, n in counts.items() if n]
    lines.append(f"{', '.join(said) or 'Nothing found'} in {_count(len(pages), 'page')}.")
    return "\n".join(lines)


def as_json(findings: Sequence[Finding], pages: Sequence[str], _top: str = "") -> str:
    """Findings as objects."""
    found = [{**asdict(one), "severity": one.severity} for one in findings]
    return json.dumps({"pages": len(pages), "findings": found}, ensure_ascii=False, indent=1)


def as_junit(findings: Sequence[Finding], pages: Sequence[str], _top: str = "") -> str:
    """JUnit XML: a test case for each page without findings, and one for each finding."""
    found = {one.page for one in findings}
    failures = sum(1 for one in findings if one.severity == ERROR)
    clean = [page for page in pages if page not in found]
    counts = {"tests": str(len(clean) + len(findings)), "failures": str(failures), "errors": "0"}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", {"name": "share-links", **counts})
    for page in clean:
        ET.SubElement(suite, "testcase", {"classname": "share-links", "name": _xml(page)})
    for one in findings:
        name = _xml(f"{one.page}:{one.line} {one.code}" if one.line else f"{one.page} {one.code}")
        case = ET.SubElement(suite, "testcase", {"classname": "share-links", "name": name})
        text = _xml(f"{one.message}\n{one.fix}")
        if one.severity == ERROR:
            said = {"type": one.code, "message": _xml(one.message)}
            ET.SubElement(case, "failure", said).text = text
        else:
            ET.SubElement(case, "system-out").text = text
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=False)


def as_sarif(findings: Sequence[Finding], _pages: Sequence[str], top: str = "") -> str:
    """SARIF 2.1.0.

    Args:
        top: where the book is in its repository.
    """
    rules = [
        {
            "id": code,
            "shortDescription": {"text": kind.about},
            "defaultConfiguration": {"level": kind.severity},
        }
        for code, kind in KINDS.items()
    ]
    run = {
        "tool": {"driver": {"name": "share-links", "rules": rules}},
        "results": [_result(one, top) for one in findings],
    }
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def _result(one: Finding, top: str) -> dict[str, object]:
    place: dict[str, object] = {
        "artifactLocation": {"uri": quote("/".join(part for part in (top, one.page) if part))}
    }
    if one.line:
        place["region"] = {"startLine": one.line}
    return {
        "ruleId": one.code,
        "level": one.severity,
        "message": {"text": f"{one.message} {one.fix}"},
        "locations": [{"physicalLocation": place}],
    }


def _xml(text: str) -> str:
    """Without the signs that XML has no way to write."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


FORMATS = {"text": as_text, "json": as_json, "junit": as_junit, "sarif": as_sarif}
