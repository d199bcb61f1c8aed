"""Git servers to test with: git's own over HTTP, one of plain files, and one that wants a password.

They run in threads of the tests, on one port, and all serve the bare repositories of one folder.
"""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

USER, PASSWORD = "ada", "of-ada"
"""Who may read at `private_url`."""

_PROGRAMS = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True)
BACKEND = Path(_PROGRAMS.stdout.strip()) / "git-http-backend"
# As the large hosts are set: commits can be asked for by name, and trees without their files.
SETTINGS = {
    "http.receivepack": "true",
    "uploadpack.allowFilter": "true",
    "uploadpack.allowAnySHA1InWant": "true",
}


def git(folder: Path, *words: str) -> str:
    """Run git there, as nobody in particular; returns what it printed."""
    config = {"user.name": "Ada", "user.email": "ada@example.org", "init.defaultBranch": "main"}
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        capture_output=True,
        text=True,
        env={**os.environ, **_environment(config), "GIT_TERMINAL_PROMPT": "0"},
    )
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout.strip()


def commit(folder: Path, files: Mapping[str, str | bytes], branch: str = "main") -> str:
    """Write files and commit them, in a repository that is made if there is none.

    Returns:
        The commit.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch", branch)
    elif git(folder, "symbolic-ref", "--short", "HEAD") != branch:
        git(folder, "checkout", "--quiet", "-b", branch)
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "Files")
    return git(folder, "rev-parse", "HEAD")


class GitServer:
    """Serves `folder/NAME.git` at three addresses.

    Attributes:
        requests: what was asked for so far, such as `GET /smart/geo-book/info/refs`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.requests: list[str] = []
        handler = type("_Bound", (_Handler,), {"git": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self._base = f"http://127.0.0.1:{self._server.server_port}"

    def url(self, name: str) -> str:
        """Smart HTTP, with and without `.git`, as at the large hosts; can be pushed to."""
        return f"{self._base}/smart/{name}"

    def dumb_url(self, name: str) -> str:
        """Plain files, as on a web space."""
        return f"{self._base}/dumb/{name}"

    def private_url(self, name: str) -> str:
        """Smart HTTP, for USER with PASSWORD."""
        return f"{self._base}/private/{name}"

    def publish(self, work: Path, name: str) -> str:
        """Bring all branches and tags of a clone here; makes the repository if there is none.

        The clone gets the address as its remote `origin`.

        Returns:
            The address, without `.git`.
        """
        bare = self.folder / f"{name}.git"
        if not bare.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            git(self.folder, "init", "--quiet", "--bare", str(bare))
            branch = git(work, "symbolic-ref", "HEAD")
            git(bare, "symbolic-ref", "HEAD", branch)
        git(work, "push", "--quiet", "--force", str(bare), "refs/heads/*:refs/heads/*", "--tags")
        git(bare, "update-server-info")
        if "origin" not in git(work, "remote").split():
            git(work, "remote", "add", "origin", self.url(name))
        git(work, "fetch", "--quiet", "origin")
        return self.url(name)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def open_git_server(folder: Path) -> Iterator[GitServer]:
    """A server of the bare repositories in a folder, until the end of the block."""
    server = GitServer(folder)
    try:
        yield server
    finally:
        server.close()


class _Handler(BaseHTTPRequestHandler):
    git: GitServer

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.git.requests.append(f"{self.command} {path}")
        kind, _slash, rest = path.lstrip("/").partition("/")
        if ".." in rest.split("/"):
            return self._answer(404)
        if kind == "dumb":
            return self._file(rest)
        if kind == "private" and not self._allowed():
            return self._answer(401, {"WWW-Authenticate": 'Basic realm="books"'})
        if kind not in ("smart", "private"):
            return self._answer(404)
        self._backend(rest)

    do_POST = do_GET

    def _allowed(self) -> bool:
        wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {wanted}"

    def _file(self, path: str) -> None:
        name, _slash, rest = path.partition("/")
        file = self.git.folder / f"{name.removesuffix('.git')}.git" / rest
        if not file.is_file():
            return self._answer(404)
        self._answer(200, {"Content-Type": "application/octet-stream"}, file.read_bytes())

    def _backend(self, path: str) -> None:
        """git-http-backend(1), which is a CGI program."""
        done = subprocess.run(
            [BACKEND],
            input=self._body(),
            capture_output=True,
            env={
                **os.environ,
                **_environment(SETTINGS),
                "GIT_PROJECT_ROOT": str(self.git.folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "REQUEST_METHOD": self.command,
                "PATH_INFO": f"/{path}",
                "QUERY_STRING": urlsplit(self.path).query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_ADDR": self.client_address[0],
            },
        )
        head, _gap, body = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if line)
        status = int(fields.pop("Status", "200").split()[0]) if fields else 500
        self._answer(status, fields, body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, fields: Mapping[str, str] = {}, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: object) -> None:
        """Not in the output of the tests."""


def _environment(config: Mapping[str, str]) -> dict[str, str]:
    """Settings for one run of git, whatever else the machine's user has set."""
    found = {"GIT_CONFIG_COUNT": str(len(config)), "GIT_CONFIG_NOSYSTEM": "1"}
    found["GIT_CONFIG_GLOBAL"] = os.devnull
    for number, (key, value) in enumerate(config.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found
