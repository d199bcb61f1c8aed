"""What buttons cost the build of a book, and how long a check of it takes.

    python benchmarks/books.py --myst PATH/TO/jupyter-book

Books of 1,000 pages are made in a temporary folder, and built with and without our part, in turns.
docs/performance.md says what is measured.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from share_links.cli import main as share_links

ROOT = Path(__file__).parent.parent
THEME = ROOT / "docs" / "template"

TEXT = "A paragraph with *words* and a [link](https://example.org/), as pages have them.\n\n"
PAGE = "---\nkernelspec:\n  name: python3\n  display_name: Python 3\n---\n\n# Page {n}\n\n" + (
    "\n\n".join(f"## Part {part}\n\n{TEXT * 4}```python\nx = {part}\n```\n" for part in range(5))
)
HUBS = """\
hubs:
  - {label: Our hub, url: "https://hub.example.org/"}
  - {label: Binder, form: binder}
environment: {profile: small}
"""
# Without a sidebar: a list of all pages on each page would take most of the time.
CONF = """\
extensions = ["myst_parser"%s]
html_theme = "alabaster"
html_sidebars = {"**": []}
project = "Book"
"""


def write_book(folder: Path, pages: int) -> Path:
    """A book in a clone of a repository in the same folder."""
    book = folder / "work"
    book.mkdir(parents=True)
    for n in range(pages):
        (book / f"part{n % 20:02}").mkdir(exist_ok=True)
        (book / f"part{n % 20:02}" / f"page{n:04}.md").write_text(PAGE.format(n=n))
    (book / "index.md").write_text("# Book\n\n```{toctree}\n:glob:\n\n*/*\n```\n")
    bare = folder / "book.git"
    content = f"content: {{repository: 'file://{bare}', ref: main}}\n"
    (book / "share_links.yml").write_text(HUBS + content)
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    for words in (
        ("init", "-q", "-b", "main", str(book)),
        ("-C", str(book), "add", "-A"),
        ("-C", str(book), *identity, "commit", "-q", "-m", "Pages"),
        ("clone", "-q", "--bare", str(book), str(bare)),
        ("-C", str(book), "remote", "add", "origin", f"file://{bare}"),
    ):
        subprocess.run(["git", *words], check=True)
    return book


def seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def cpu_seconds(run: Callable[[], object]) -> float:
    """Of this process and of those that it has waited for: others on the machine take turns."""
    begin = sum(os.times()[:4])
    run()
    return sum(os.times()[:4]) - begin


def ratio(rounds: int, bare: Callable[[], object], ours: Callable[[], object]) -> dict[str, float]:
    """Both in turns, since the machine is not the same all the time."""
    took = {"bare": [], "ours": []}
    for number in range(rounds + 1):
        pairs = [("bare", bare), ("ours", ours)]
        for name, run in pairs if number % 2 else reversed(pairs):
            took[name].append(cpu_seconds(run))
    # The first round warms the disk, and is all that a trial has.
    low = {name: statistics.median(some[1:] or some) for name, some in took.items()}
    return {"ratio": low["ours"] / low["bare"], **low}


def sphinx(book: Path, pages: int, rounds: int) -> dict[str, float]:
    """A whole build each time, each in a process of its own."""

    def build(extension: str) -> Callable[[], object]:
        def run() -> None:
            (book / "conf.py").write_text(CONF % extension)
            shutil.rmtree(book / "_build", ignore_errors=True)
            words = ["-q", "-E", str(book), str(book / "_build")]
            subprocess.run([sys.executable, "-m", "sphinx", *words], check=True)
            built = len(list((book / "_build").glob("part*/*.html")))
            assert built == pages, built

        return run

    return ratio(rounds, build(""), build(', "share_links.sphinx"'))


def myst(command: Path, book: Path, rounds: int) -> dict[str, float]:
    """A whole build each time, with a theme that does next to nothing."""
    shutil.copytree(THEME, book / "theme", dirs_exist_ok=True)
    with_plugin = "version: 1\nproject: {title: Book%s}\nsite: {template: ./theme}\n"
    (book / "myst.yml").write_text(with_plugin % "")
    with contextlib.redirect_stdout(io.StringIO()):
        share_links(["init", str(book)])

    def build(plugin: str) -> Callable[[], object]:
        def run() -> None:
            (book / "myst.yml").write_text(with_plugin % plugin)
            shutil.rmtree(book / "_build", ignore_errors=True)
            if plugin:
                with contextlib.redirect_stderr(io.StringIO()):
                    share_links(["build", str(book)])
            done = subprocess.run(
                [command, "build", "--html"], cwd=book, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr

        return run

    return ratio(rounds, build(""), build(", plugins: [share_links.mjs]"))


def check(book: Path, rounds: int) -> float:
    """Seconds, of the whole command."""
    words = [sys.executable, "-m", "share_links.cli", "check", str(book), "--format", "json"]

    def run() -> None:
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    took = [seconds(run) for _ in range(rounds + 1)]
    return statistics.median(took[1:] or took)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--myst", type=Path, help="jupyter-book 2, or myst; default: not measured")
    parser.add_argument("--json", action="store_true", help="one line for programs at the end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        book = write_book(Path(folder), options.pages)
        figures: dict[str, float] = {"pages": options.pages}
        # Before there is anything to build, which a check would find not committed.
        figures["check_s"] = check(book, options.rounds)
        print(f"check: {figures['check_s']:.2f} s")
        found = {"sphinx": sphinx(book, options.pages, options.rounds)}
        if options.myst:
            (book / "conf.py").unlink()
            found["myst"] = myst(options.myst, book, options.rounds)
        for name, took in found.items():
            figures[f"{name}_share"] = took["ratio"]
            figures[f"{name}_s"] = took["ours"]
            figures[f"{name}_bare_s"] = took["bare"]
            print(
                f"{name}: {took['ours']:.1f} s, without {took['bare']:.1f} s: {took['ratio']:.3f}"
            )
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
