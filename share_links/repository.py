"""Git repositories, asked with the `git` command: the one that a book is in, and any by address."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .addresses import LaunchError, normal_repository
from .book import Found
from .launch import Content

PATIENCE = 60
"""Seconds that any one question to git may take."""

# Builds check out a commit, and say elsewhere which branch it is of: GitLab, Read the Docs.
_BRANCH_OF_BUILD = ("CI_COMMIT_REF_NAME", "READTHEDOCS_GIT_IDENTIFIER")
_NEVER_ASK = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
    "LC_ALL": "C",
}


class GitError(Exception):
    """Git could not do it; the message is what it said, in one line."""


class LoginNeeded(GitError):
    """The repository is there for those who log in."""


class NoSuchRef(GitError):
    """The repository has no such branch, tag or commit."""


def git(folder: Path, *words: str, env: Mapping[str, str] = {}) -> str:
    """What git prints. It never asks anybody anything.

    Raises:
        GitError: it failed, or there is no git.
    """
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(folder), "-c", "core.quotePath=false", *words],  # noqa: S607
            capture_output=True,
            env={**os.environ, **_NEVER_ASK, **env},
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise GitError(f"no answer in {PATIENCE} seconds") from None
    except OSError as error:
        raise GitError(f"git can't be run: {error.strerror}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["?"]
        line = next((one for one in said if one.startswith(("fatal:", "error:"))), said[-1])
        line = line.removeprefix("fatal: ").removeprefix("error: ")
        login = "could not read Username" in line or "Authentication failed" in line
        raise (LoginNeeded if login else GitError)(line)
    return done.stdout.decode(errors="replace")


def found(folder: Path) -> Found:
    """What is known of the clone that a folder is in; empty where it is in none."""
    try:
        subfolder = git(folder, "rev-parse", "--show-prefix").strip().rstrip("/")
    except GitError:
        return Found()
    try:
        ref = git(folder, "symbolic-ref", "--quiet", "--short", "HEAD").strip()
    except GitError:
        ref = next((os.environ[name] for name in _BRANCH_OF_BUILD if os.environ.get(name)), "")
    try:
        address = git(folder, "remote", "get-url", "origin").strip()
    except GitError:
        address = ""
    return Found(readers_address(address), ref, subfolder)


def readers_address(remote: str) -> str:
    """How readers get at the remote of an author, who has a key or a password for it.

    Returns:
        An address; empty where the remote is no address, such as a folder.
    """
    if re.match(r"https?://", remote):
        remote = re.sub(r"^(https?://)[^/@]*@", r"\1", remote)
    try:
        address = normal_repository(remote)
    except LaunchError:
        return ""
    return re.sub(r"^ssh://git@([^/:]+)(:\d+)?/(.*?)(\.git)?$", r"https://\1/\3", address)


@dataclass(frozen=True)
class Tree:
    """What a repository has at a ref.

    Attributes:
        commit: the ref's, now.
        files: all paths.
    """

    commit: str
    files: frozenset[str]


def read_tree(content: Content, cache: Path, clone: Path | None = None) -> Tree:
    """Which files a repository has at a ref. Fetches no file, and nothing twice.

    Args:
        cache: a folder to keep what was fetched in.
        clone: a folder within a clone of this repository, which may have the commit already.

    Raises:
        LoginNeeded: only who logs in may know.
        NoSuchRef: it has no such ref.
        GitError: it can't be reached.
    """
    commit = content.ref if content.is_commit else _commit(content)
    name = hashlib.sha256(content.repository.encode()).hexdigest()[:32]
    thin, whole = cache / f"{name}.git", cache / f"{name}-whole.git"
    for store in (clone, thin, whole):
        if store and (files := _files(store, commit)) is not None:
            return Tree(commit, files)
    return Tree(commit, _fetch(thin, whole, content, commit))


def _commit(content: Content) -> str:
    ref = content.ref
    wanted = [f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}"] if ref else ["HEAD"]
    words = ("ls-remote", "--quiet", "--", content.repository, *wanted)
    # What the author's own passwords open is closed to readers.
    lines = git(Path.cwd(), "-c", "credential.helper=", *words).splitlines()
    known = {name: commit for commit, _tab, name in (line.partition("\t") for line in lines)}
    commit = next((known[name] for name in wanted if name in known), "")
    if not commit:
        raise NoSuchRef(ref)
    return commit


def _fetch(thin: Path, whole: Path, content: Content, commit: str) -> frozenset[str]:
    """Get a commit; returns its files."""
    without_files = ("--depth=1", "--filter=blob:none")
    everything = "+refs/*:refs/kept/*"
    ways = (
        (thin, without_files, commit),
        (thin, without_files, everything),  # not every server gives a commit by its name
        (whole, (), everything),  # one of plain files leaves nothing out; or it is an old commit
    )
    words = ("-c", "credential.helper=", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head")
    last = GitError("?")
    for store, less, refspec in ways:
        store.mkdir(parents=True, exist_ok=True)
        if not (store / "HEAD").exists():
            git(store, "init", "--quiet", "--bare")
        try:
            git(store, *words, *less, "--", content.repository, refspec)
        except GitError as error:
            last = error
            continue
        if (files := _files(store, commit)) is not None:
            return files
        last = NoSuchRef(content.ref)
    raise last


def _files(store: Path, commit: str) -> frozenset[str] | None:
    """None where the commit is not there."""
    try:
        env = {"GIT_ALLOW_PROTOCOL": ""}  # what is not there is not fetched now, one by one
        listed = git(store, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, env=env)
    except GitError:
        return None
    return frozenset(listed.split("\0")) - {""}


@dataclass(frozen=True)
class Unpublished:
    """What is in a clone only.

    Attributes:
        changed: files, from the top of the repository, that differ from their last commit.
        commits: how many commits are ahead of the remote's branch; None where that is not known.
    """

    changed: frozenset[str]
    commits: int | None


def unpublished(folder: Path, ref: str) -> Unpublished:
    """Raises GitError: the folder is in no clone."""
    status = git(folder, "status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames")
    changed = frozenset(entry[3:] for entry in status.split("\0") if entry)
    try:
        range_ = f"refs/remotes/origin/{ref}..refs/heads/{ref}"
        commits = int(git(folder, "rev-list", "--count", range_, "--"))
    except GitError:
        return Unpublished(changed, None)
    return Unpublished(changed, commits)
