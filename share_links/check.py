"""`share-links check`: whether each link of a book will work."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from hub_groups.documents import FileError, read_text

from .addresses import LaunchError
from .book import ELSEWHERE, FILE, Aimed, aims
from .book_files import Opened, page_of
from .book_links import TABLE, launches
from .findings import Finding
from .forms import FORMS, read
from .hub_answers import Answers, HubError
from .launch import Content, Launch
from .repository import (
    GitError,
    LoginNeeded,
    NoSuchRef,
    Tree,
    Unpublished,
    read_tree,
    unpublished,
)
from .sources import markdown_of, wanted
from .written import faults, written_links

_AT_ONCE = 8  # repositories that are asked about


@dataclass(frozen=True)
class Asked:
    """A launch that some link asks for.

    Attributes:
        hub: the address that it goes to.
        own: whether the link is ours, not written by hand.
    """

    page: str
    line: int
    hub: str
    form: str
    launch: Launch
    own: bool


def check(
    opened: Opened, cache: Path, hub: str = "", answers: Answers | None = None
) -> list[Finding]:
    """All that is wrong with the links of a book.

    Args:
        cache: a folder to keep what is known of repositories in.
        hub: the address of the hub to ask.
        answers: what it says.
    """
    asked: list[Asked] = []
    found = [*_contents(opened), *_pages(opened, asked.append), *_table(opened)]
    trees = _trees(opened, {one.launch.content for one in asked if one.launch.content}, cache)
    found += _repositories(trees, asked)
    found += _files(opened, trees, asked)
    if answers:
        found += _hub(opened, [one for one in asked if one.hub == hub], answers)
    order = {page: number for number, page in enumerate(opened.contents.pages)}
    return sorted(set(found), key=lambda f: (order.get(f.page, -1), f.page, f.line, f.code))


def _contents(opened: Opened) -> Iterator[Finding]:
    for name in opened.contents.missing:
        yield Finding(
            "SL106",
            f"The table of contents names {name}, which is not there.",
            "Take it out, or put the file there.",
            name,
        )
    for rule in opened.book.rules:
        if not any(rule.names(page) for page in opened.contents.pages):
            yield Finding(
                "SL107",
                f"No page is matched by '{rule.match}'.",
                "Write the page's path within the book, such as intro/map.ipynb; '*' stands for "
                "anything.",
                FILE,
            )


def _table(opened: Opened) -> Iterator[Finding]:
    try:
        known = json.loads(read_text(opened.folder / TABLE))["made_from"]
    except (FileError, ValueError, TypeError, KeyError):
        return  # nobody has made one
    if known != sha256((opened.folder / FILE).read_bytes()).hexdigest():
        message = f"{FILE} has changed since {TABLE} was made."
        yield Finding("SL112", message, "Run share-links build.", TABLE)


# -- pages -----------------------------------------------------------------------------------------


def _pages(opened: Opened, ask: Callable[[Asked], None]) -> Iterator[Finding]:
    lacking: dict[tuple[str, str], Finding] = {}  # at the first page that has it
    for path in opened.contents.pages:
        try:
            text = read_text(opened.folder / path)
            page = page_of(opened.folder, opened.book, path, text)
            for aim in aims(opened.book, page):
                for one in _aim(aim, path, ask):
                    lacking.setdefault((one.code, one.message), one)
            markdown = markdown_of(path, text)
            for _key, launch in wanted(markdown):
                launches(opened, path, launch)
        except (FileError, LaunchError) as error:
            yield Finding("SL109", _sentence(str(error)), "Write what the message says.", path)
            continue
        except ValueError:
            yield Finding("SL109", "This is no notebook.", "Save it again in JupyterLab.", path)
            continue
        for link in written_links(markdown):
            line = 0 if path.endswith(".ipynb") else link.line
            wrong, said = faults(link.url)
            for fault in wrong:
                yield Finding(fault.code, _sentence(fault.message), fault.fix, path, line)
            if said:
                ask(Asked(path, line, said.hub, said.form, said.launch, own=False))
    yield from lacking.values()


def _aim(aim: Aimed, path: str, ask: Callable[[Asked], None]) -> Iterator[Finding]:
    hub = aim.hub
    if aim.written is None:
        fix = f"Leave {hub.label} out for this page, with hubs."
        yield Finding("SL108", f"No link to {hub.label}: {aim.why}", fix, path)
        return
    lost = [] if hub.form in ELSEWHERE else aim.written.lost
    if lost:
        yield Finding(
            "SL108",
            f"A link of the form {hub.form} to {hub.label} can't carry {', '.join(lost)}.",
            "Use the form resolved, or leave that out.",
            path,
        )
    if read(aim.written.url).launch != FORMS[hub.form].carries(aim.launch):
        message = f"The link to {hub.label} does not say what it should."
        yield Finding("SL109", message, "Please report this, with the page's path.", path)
    ask(Asked(path, 0, hub.url, hub.form, aim.launch, own=True))


# -- repositories ----------------------------------------------------------------------------------

_Trees = dict[Content, "Tree | GitError"]


def _trees(opened: Opened, contents: Iterable[Content], cache: Path) -> _Trees:
    """What each repository has, by its address and ref."""

    def ask(content: Content) -> Tree | GitError:
        ours = content.repository == opened.found.repository
        try:
            return read_tree(content, cache, opened.folder if ours else None)
        except GitError as error:
            return error

    def ask_one_by_one(refs: list[Content]) -> _Trees:  # they share a place in the cache
        return {content: ask(content) for content in refs}

    by_repository: dict[str, list[Content]] = {}
    for content in dict.fromkeys(map(_bare, contents)):
        by_repository.setdefault(content.repository, []).append(content)
    found: _Trees = {}
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for trees in pool.map(ask_one_by_one, by_repository.values()):
            found |= trees
    return found


def _bare(content: Content) -> Content:
    return replace(content, folder="")


def _repositories(trees: _Trees, asked: list[Asked]) -> Iterator[Finding]:
    """One finding for each repository and ref, at the first page that wants it."""
    for content, tree in trees.items():
        if not isinstance(tree, GitError):
            continue
        first = next(a for a in asked if a.launch.content and _bare(a.launch.content) == content)
        page = FILE if first.own else first.page
        yield _unread(content, tree, page, first.line)


def _unread(content: Content, error: GitError, page: str, line: int) -> Finding:
    repository = content.repository
    if isinstance(error, NoSuchRef):
        message = f"{repository} has no branch, tag or commit {content.ref or 'HEAD'}."
        return Finding("SL103", message, "Push it, or name another ref.", page, line)
    if isinstance(error, LoginNeeded):
        message = f"{repository} is there only for who logs in, so readers may not get it."
        return Finding("SL102", message, "Make it public, or log servers in to it.", page, line)
    message = f"{repository} can't be reached: {error}."
    return Finding("SL101", message, "Check the address.", page, line)


def _files(opened: Opened, trees: _Trees, asked: list[Asked]) -> Iterator[Finding]:
    own = [one for one in asked if one.own and one.launch.target.file]
    local = _unpublished(opened)
    if local and local.commits:
        yield Finding(
            "SL111",
            f"{local.commits} of your commits are not at {opened.book.content.repository} yet.",
            "Push them.",
            FILE,
        )
    elsewhere = _another_folder(opened, trees, own)
    if elsewhere is not None:
        yield Finding(
            "SL105",
            f"None of the pages is in the folder '{opened.book.subfolder}' of the repository.",
            f"Write subfolder: '{elsewhere}'.",
            FILE,
        )
    for one in asked:
        content, file = one.launch.content, one.launch.target.file
        tree = trees.get(_bare(content)) if content else None
        if not isinstance(tree, Tree) or not file or (one.own and elsewhere is not None):
            continue
        changed = one.own and local is not None and _in_clone(opened, file) in local.changed
        if not _has(tree, file):
            ref = content.ref if content and content.ref else "HEAD"
            fix = "Commit and push it." if changed else _nearest(tree, file)
            message = f"{file} is not in the repository at {ref}."
            yield Finding("SL104", message, fix, one.page, one.line)
        elif changed:
            message = f"{file} has changes that readers don't get."
            yield Finding("SL110", message, "Commit and push them.", one.page)


def _has(tree: Tree, file: str) -> bool:
    return file in tree.files or any(name.startswith(f"{file}/") for name in tree.files)


def _nearest(tree: Tree, file: str) -> str:
    alike = next((name for name in tree.files if name.lower() == file.lower()), "")
    return f"It is there as {alike}." if alike else "Push it, or name another file or ref."


def _another_folder(opened: Opened, trees: _Trees, own: list[Asked]) -> str | None:
    """Where the book really is; None where it is as it says, or nowhere."""
    tree = trees.get(_bare(opened.book.content))
    if not isinstance(tree, Tree) or any(one.launch.target.file in tree.files for one in own):
        return None
    for page in opened.contents.pages:
        for name in sorted(tree.files):
            if name == page or name.endswith(f"/{page}"):
                folder = name.removesuffix(page).rstrip("/")
                return folder if folder != opened.book.subfolder else None
    return None


def _unpublished(opened: Opened) -> Unpublished | None:
    """None where this is no clone of the book's repository, at its branch."""
    content, found = opened.book.content, opened.found
    if (content.repository, content.ref or found.ref) != (found.repository, found.ref):
        return None
    try:
        return unpublished(opened.folder, found.ref)
    except GitError:
        return None


def _in_clone(opened: Opened, file: str) -> str:
    """A file of the book, by its path in the clone that the book is in."""
    page = file.removeprefix(f"{opened.book.subfolder}/") if opened.book.subfolder else file
    return "/".join(part for part in (opened.found.subfolder, page) if part)


# -- the hub ---------------------------------------------------------------------------------------


def _hub(opened: Opened, asked: list[Asked], answers: Answers) -> Iterator[Finding]:
    try:
        yield from _kind_of_hub(asked, answers)
    except HubError as error:
        yield Finding("SL301", f"The hub can't be reached: {error}.", "Check its address.", FILE)
        return
    # Each environment once: what is opened in it makes no difference.
    once = {(one.launch.environment, one.launch.group): one for one in reversed(asked)}
    try:
        for one in once.values():
            yield from _answer(one, answers)
    except HubError as error:
        yield Finding(
            "SL306",
            f"The hub could not be asked about profiles and quotas: {error}.",
            "Name a --token-file with the token of a member of the group.",
            FILE,
        )


def _kind_of_hub(asked: list[Asked], answers: Answers) -> Iterator[Finding]:
    version = answers.version()
    first: dict[str, Asked] = {}
    for one in asked:
        first.setdefault(one.form, one)
    if "spawn" in first and int(version.partition(".")[0]) < 6:
        one = first["spawn"]
        yield Finding(
            "SL302",
            f"JupyterHub {version} ignores options that begin with opt-.",
            "Use the form spawn5, or resolved.",
            FILE if one.own else one.page,
            one.line,
        )
    if "resolved" in first and not answers.resolves():
        one = first["resolved"]
        yield Finding(
            "SL303",
            "The hub has no share_links, which this form of link needs.",
            "Install it there, or use the form spawn.",
            FILE if one.own else one.page,
            one.line,
        )


def _answer(one: Asked, answers: Answers) -> Iterator[Finding]:
    answer = answers.ask(one.launch)
    for problem in answer.problems:
        fix = "Choose an environment or a group that the hub allows."
        yield Finding("SL304", problem, fix, one.page, one.line)
    if one.launch.content and answer.pulls is False:
        message = "The image of this server has no nbgitpuller, so it can't pull the repository."
        fix = "Install nbgitpuller in the image, or choose another one."
        yield Finding("SL305", message, fix, one.page, one.line)


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
