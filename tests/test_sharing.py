"""What travels when a file is shared: where it comes from, by real git and shells, and names,
limits and words."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from gitserver import commit, git, open_git_server

from share_links import provenance, sharing
from share_links.addresses import LaunchError
from share_links.choices import image_of
from share_links.launch import Content
from share_links.links import Source
from share_links.provenance import Traced
from share_links.sharing import Used

STRANGE = "Übung 1/a & b's #1 $(x) `y` [z] !100%.ipynb"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with open_git_server(tmp_path_factory.mktemp("git")) as server:
        yield server


@pytest.fixture
def book(tmp_path, server) -> Path:
    """A clone whose commit is on its remote, in a home."""
    folder = tmp_path / "home" / "geo-book"
    commit(folder, {"a.ipynb": "{}", "z.ipynb": "{}", STRANGE: "{}"})
    server.publish(folder, f"geo-book-{tmp_path.name}")
    return folder


def trace(home: Path, path: str, shell: str = "sh -c", **environment: str) -> Traced:
    """As a terminal does it, whose shell reads what is typed."""
    line = provenance.command(path).rstrip("\r")
    env = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [*shell.split(), f"{line}\n"],
        capture_output=True,
        text=True,
        cwd="/",
        env={**env, "JUPYTER_SERVER_ROOT": str(home), **environment},
        timeout=30,
    )
    output = f"$ {line}\r\n" + done.stdout.replace("\n", "\r\n")
    assert provenance.is_over(output), done
    return provenance.read(output, path)


@pytest.mark.parametrize("path", ["geo-book/a.ipynb", f"geo-book/{STRANGE}"])
def test_what_is_committed_and_pushed(book, path):
    found = trace(book.parent, path)
    assert found.content == Content(git(book, "remote", "get-url", "origin"), head(book))
    assert found.file == path.removeprefix("geo-book/")
    # However its folder is called, and from within.
    found = trace(book, found.file)
    assert found.file == path.removeprefix("geo-book/")


def head(book: Path) -> str:
    return git(book, "rev-parse", "HEAD")


@pytest.mark.parametrize("shell", ["bash -c", "dash -c", "zsh -c", "fish -c", "tcsh -fc"])
def test_any_login_shell(book, shell):
    if not shutil.which(shell.split()[0]):
        pytest.skip(f"There is no {shell.split()[0]} here.")
    found = trace(book.parent, "geo-book/a.ipynb", shell)
    assert found.content, found


def change(book: Path) -> None:
    (book / "a.ipynb").write_text("{ }")


def change_unseen(book: Path) -> None:
    git(book, "update-index", "--assume-unchanged", "a.ipynb")
    change(book)


def add(book: Path) -> None:
    (book / "new.ipynb").write_text("{}")
    git(book, "add", "new.ipynb")


def new_commit(book: Path) -> None:
    commit(book, {"b.ipynb": "{}"})


def no_remote(book: Path) -> None:
    git(book, "remote", "remove", "origin")


def local_remote(book: Path) -> None:
    git(book, "remote", "set-url", "origin", "/srv/git/geo-book")


def file_remote(book: Path) -> None:
    git(book, "remote", "set-url", "origin", "file:///srv/git/geo-book")


def no_repository(book: Path) -> None:
    shutil.rmtree(book / ".git")


@pytest.mark.parametrize(
    ("what", "file", "words"),
    [
        (change, "a.ipynb", "it has changes that are not committed"),
        (change_unseen, "a.ipynb", "it has changes that are not committed"),
        (add, "new.ipynb", "it is not committed"),
        (add, "none.ipynb", "it is not committed"),
        (new_commit, "a.ipynb", "its commit was not pushed yet"),
        (no_remote, "a.ipynb", "its repository is on this server only"),
        (local_remote, "a.ipynb", "others can't use the address of its repository"),
        (file_remote, "a.ipynb", "others can't use the address of its repository"),
        (no_repository, "a.ipynb", "it is not in a repository"),
    ],
)
def test_what_only_a_copy_can_carry(book, what, file, words):
    what(book)
    assert trace(book.parent, f"geo-book/{file}") == Traced(why=words)


def test_another_file_with_changes_does_not_matter(book):
    change(book)
    assert trace(book.parent, "geo-book/z.ipynb").content


def test_no_git_and_no_such_folder(book, tmp_path):
    for name in ("sh", "env"):
        (tmp_path / name).symlink_to(shutil.which(name))
    found = trace(book.parent, "geo-book/a.ipynb", PATH=str(tmp_path))
    assert found.why == "there is no git on this server"
    assert trace(book.parent, "none/a.ipynb").why == "it is not in a repository"
    assert provenance.read("bash: exec: sh: not found", "a").why.startswith("this server did not")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_somebody_else_starts_nothing(book):
    """Its settings could name programs that git starts."""
    shutil.chown(book, 1)
    shutil.chown(book / ".git", 1)
    assert trace(book.parent, "geo-book/a.ipynb").why.startswith("it is in a folder that git does")


def test_content_that_was_launched_at_a_commit(book, tmp_path):
    url, clone = git(book, "remote", "get-url", "origin"), tmp_path / "home" / "launched"
    clone.mkdir()
    git(clone, "init", "--quiet")
    git(clone, "remote", "add", "origin", url)
    git(clone, "fetch", "--quiet", "--depth", "1", "origin", head(book))
    git(clone, "checkout", "--quiet", head(book))
    assert trace(book.parent, "launched/a.ipynb").content == Content(url, head(book))
    commit_here = git(clone, "commit", "--quiet", "--allow-empty", "--message", "Mine")
    assert trace(book.parent, "launched/a.ipynb").why == "its commit was not pushed yet", (
        commit_here
    )


@pytest.mark.parametrize(
    ("origin", "address"),
    [
        ("https://ada:secret@git.example.org/a/b", "https://git.example.org/a/b"),
        ("https://token@github.com/a/b.git", "https://github.com/a/b"),
        ("git@github.com:a/b.git", "ssh://git@github.com/a/b"),
        ("ssh://git:secret@git.example.org:22/b", "ssh://git@git.example.org:22/b"),
    ],
)
def test_an_address_has_nobodys_password(book, origin, address):
    git(book, "remote", "set-url", "origin", origin)
    found = trace(book.parent, "geo-book/a.ipynb")
    assert found.content.repository == address


def test_a_key_is_not_needed_where_there_is_https():
    at = "a" * 40
    found = provenance.over_https(Content("git@github.com:a/b.git", at))
    assert found == Content("https://github.com/a/b", at)
    assert provenance.over_https(Content("https://github.com/a/b", at)) is None
    assert provenance.over_https(Content("ssh://git@example.org:2222/b", at)) is None


def test_what_a_terminal_takes():
    """A line of 4,095 bytes where nothing reads it key by key (termios(3))."""
    longest = sharing.clean_path("'" * 150 + "/" + "'" * 149 + "/" + "'" * 199)
    assert len(longest) == 500
    assert len(provenance.command(longest).encode()) < 4_095


# -- names, limits, words --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "is not a path"),
        ("a/../../etc/passwd", "is not a path"),
        ("a//b", "is not a path"),
        ("a\\b", "is not a path"),
        (".ssh/id_rsa", "Hidden files can't be shared."),
        ("a/.env", "Hidden files can't be shared."),
        ("a\nb", "control character"),
        ("a" * 201, "too long"),
        ("a/" * 300 + "a", "too long"),
        ("ä" * 101, "too long"),
    ],
)
def test_paths_that_can_not_be(typed, words):
    with pytest.raises(LaunchError, match=words):
        sharing.clean_path(typed)


def test_paths():
    assert sharing.clean_path("/maps/a b.ipynb") == "maps/a b.ipynb"
    assert sharing.clean_path("", "folder") == ""
    assert sharing.clean_path("maps/", "folder") == "maps"


def test_names_at_the_reader():
    names = [sharing.numbered("first.map.ipynb", n) for n in (1, 2, 3)]
    assert names == ["first.map.ipynb", "first.map-2.ipynb", "first.map-3.ipynb"]
    assert sharing.numbered("Makefile", 2) == "Makefile-2"
    assert sharing.folder_of("ada") == "shared/ada"
    assert sharing.folder_of("ada@example.org") == "shared/ada@example.org"
    assert sharing.folder_of("../a/b") == "shared/a-b"
    assert sharing.folder_of("..") == "shared/somebody"
    assert sharing.folder_of(".ä/") == "shared/ä"


def test_limits():
    sharing.check_room(Used(49, 90_000_000), 10_000_000)
    for used, size, words in (
        (Used(50, 0), 1, "50 of 50 copies, 0 bytes of 100 MB"),
        (Used(1, 90_000_001), 10_000_000, "1 of 50 copies, 90 of 100 MB"),
        (Used(), 10_000_001, "has 10 MB; a copy has 10 MB at most"),
    ):
        with pytest.raises(LaunchError, match=words):
            sharing.check_room(used, size)
    assert sharing.say_used(Used(3, 12_000_000)) == "3 of 50 copies, 12 of 100 MB"
    sizes = [7, 1_000, 3_400, 999_499, 999_500, 2_000_000, 3_420_000, 99_600_000]
    said = ["7 bytes", "1 kB", "3.4 kB", "999 kB", "1 MB", "2 MB", "3.4 MB", "100 MB"]
    assert [sharing.say_bytes(size) for size in sizes] == said


def test_what_an_environment_is():
    options = {
        "profile": "large",
        "image": ["x"],
        "charged_group": "geo-101",
        "a": "",
        "b": {"c": 1},
    }
    kept = sharing.options_to_share(options)
    assert "charged_group" not in kept
    assert sharing.say_options(kept) == 'large · b: {"c": 1} · image: x'
    assert sharing.say_options({}) == ""


def test_what_differs():
    source = Source({}, "lab:1", "sha256:a")
    assert sharing.say_difference(source, "lab:1", "sha256:a") == ""
    assert sharing.say_difference(source, "lab:1") == sharing.say_difference(source, "") == ""
    assert "from the image lab:1; here it is opened in lab:2" in sharing.say_difference(
        source, "lab:2"
    )
    assert "lab:1 has changed" in sharing.say_difference(source, "lab:1", "sha256:b")
    assert sharing.say_difference(Source({}), "lab:1", "sha256:b") == ""


def test_the_image_of_a_pod():
    pod = {
        "spec": {"containers": [{"name": "notebook", "image": "lab:1"}, {"name": "s"}]},
        "status": {
            "containerStatuses": [
                {"name": "s", "image": "s", "imageID": "s@sha256:s"},
                {"name": "notebook", "image": "docker.io/lab:1", "imageID": "lab@sha256:abc"},
            ]
        },
    }
    assert image_of(pod) == ("lab:1", "sha256:abc")
    del pod["status"]
    assert image_of(pod) == ("lab:1", "")
    assert image_of({}) == ("", "")


@pytest.mark.parametrize(
    ("code", "message", "words"),
    [
        (500, "[Errno 28] No space left on device", "There is no room in your home for a.txt."),
        (500, "[Errno 122] Disk quota exceeded", "There is no room in your home for a.txt."),
        (403, "Permission denied: shared", "may not write a.txt into the folder shared"),
        (413, "", "a.txt is too large for your server."),
        (400, "Not a directory: /home/sam/shared", "a file where the folder shared would be"),
        (400, "", "does not take a file of the name a.txt"),
        (599, "Timeout", "can't be reached from these pages"),
        (500, "?", "a.txt can't be copied to your server."),
    ],
)
def test_why_a_copy_can_not_be_made(code, message, words):
    failure = sharing.explain_copy(code, message, "a.txt")
    assert words in failure.text
    assert failure.fix
    assert failure.where == "pull"
