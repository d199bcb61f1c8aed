"""The command line: `share-links init | build | check | key`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import segno

from hub_groups.commands import exit_code
from hub_groups.documents import FileError, read_text

from .addresses import LaunchError, normal_hub
from .badge import badge, file_name
from .book import FILE
from .book_files import KEY, MYST, Opened, open_book
from .book_links import PRINTED, BookLinks, book_links, each, write_table, write_text
from .check import check
from .findings import FORMATS, has_errors
from .forms import FORMS
from .hub_answers import HubOverHttp
from .start import start
from .tokens import make_key

DONE, FOUND, UNUSABLE = 0, 1, 2
"""Exit codes: done; something is wrong in the book; the book can't be used, or wrong usage."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        An exit code: DONE, FOUND or UNUSABLE, with which wrong usage exits too.
    """
    return exit_code(_parser().parse_args(arguments), UNUSABLE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="share-links",
        description="Launch links from the pages of a book to a JupyterHub.",
        epilog="Exit codes: 0 done, 1 something is wrong in the book, 2 the book can't be used, or "
        "wrong usage.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    everywhere = argparse.ArgumentParser(add_help=False)
    everywhere.add_argument("book", type=Path, metavar="BOOK", help="the folder of the book")

    text = f"write a first {FILE}, and make the book show its buttons"
    begin = commands.add_parser("init", parents=[everywhere], help=text, description=text)
    begin.set_defaults(run=_init)
    begin.add_argument(
        "--hub", type=_hub, default="https://hub.example.org/", metavar="URL", help="its address"
    )
    begin.add_argument("--label", default="our hub", help="how readers know it")
    begin.add_argument(
        "--form", choices=FORMS, default="resolved", help="the form of link (default: resolved)"
    )

    text = "make all links of a book"
    build = commands.add_parser("build", parents=[everywhere], help=text, description=text)
    build.set_defaults(run=_build)
    for name in PRINTED:
        build.add_argument(
            f"--{name}", action="append_const", dest="printed", const=name, help="print them so"
        )
    build.add_argument("--badges", type=Path, metavar="DIR", help="write a badge for each hub")
    build.add_argument("--qr", type=Path, metavar="DIR", help="write a QR code for each button")

    text = "make a pair of keys to sign links with"
    keys = commands.add_parser("key", help=text, description=text)
    keys.set_defaults(run=_make_key)

    text = "say what is wrong with the links of a book"
    checks = commands.add_parser("check", parents=[everywhere], help=text, description=text)
    checks.set_defaults(run=_check)
    checks.add_argument(
        "--hub", type=_hub, metavar="URL", help="ask this hub, one of the book's, too"
    )
    checks.add_argument(
        "--token-file", type=Path, metavar="FILE", help="with a token of who would start servers"
    )
    checks.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    return parser


def _hub(address: str) -> str:
    try:
        return normal_hub(address)
    except LaunchError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _init(options: argparse.Namespace) -> int:
    print("\n".join(start(options.book, options.hub, options.label, options.form)))
    return DONE


def _build(options: argparse.Namespace) -> int:
    opened = open_book(options.book)
    found = book_links(opened)
    for name in options.printed or ():
        print(PRINTED[name](found))
    if options.badges:
        _badges(opened, options.badges)
    if options.qr:
        _qr_codes(found, options.qr)
    wanted = options.printed or options.badges or options.qr
    if (opened.folder / MYST).exists() or not wanted:
        file = write_table(opened, found)
        count = sum(1 for _ in each(found))
        said = f"{_count(count, 'link')} on {_count(len(found.pages), 'page')}"
        print(f"Wrote {file}: {said}.", file=sys.stderr)
    print("\n".join(found.problems), end="\n" if found.problems else "", file=sys.stderr)
    return FOUND if found.problems else DONE


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _make_key(_options: argparse.Namespace) -> int:
    private, public = make_key()
    print(f"{KEY}={private}")
    print(
        f"Keep the line above secret, and set it where the book is built.\n"
        f"Give this one to each hub, on its page of launch keys:\n{public}",
        file=sys.stderr,
    )
    return DONE


def _badges(opened: Opened, folder: Path) -> None:
    for hub in opened.book.hubs:
        write_text(folder / f"{file_name(hub.label)}.svg", badge(hub.label))


def _qr_codes(found: BookLinks, folder: Path) -> None:
    names: set[str] = set()
    for page, link in each(found):
        name = plain = file_name(page, link.hub)
        number = 1
        while name in names:  # pages that differ in other signs only
            number += 1
            name = f"{plain}-{number}"
        names.add(name)
        code = segno.make(link.url, micro=False)
        write_text(folder / f"{name}.svg", code.svg_inline(scale=4, border=4, title=link.label))


def _check(options: argparse.Namespace) -> int:
    opened = open_book(options.book)
    answers = None
    if options.hub:
        known = [hub.url for hub in opened.book.hubs]
        if options.hub not in known:
            raise FileError(f"--hub: {FILE} names no {options.hub}; it names {', '.join(known)}.")
        token = read_text(options.token_file).strip() if options.token_file else ""
        answers = HubOverHttp(options.hub, token)
    elif options.token_file:
        raise FileError("--token-file needs --hub, the hub to ask.")
    findings = check(opened, _cache(), options.hub or "", answers)
    print(FORMATS[options.format](findings, opened.contents.pages, opened.found.subfolder))
    return FOUND if has_errors(findings) else DONE


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "share-links"


if __name__ == "__main__":
    sys.exit(main())
