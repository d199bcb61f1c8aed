"""The book of a hub's community: files that anybody may read, served beside the launch links."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tornado import web

ADDRESS = "community/"
"""Below the pages of share_links."""

MISSING = "404.html"
"""The book's own page for what is not there; MyST makes one."""


class CommunityFiles(web.StaticFileHandler):
    """The files of a folder, for anybody: neither the hub nor the ledger is asked."""

    def set_default_headers(self) -> None:
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("Content-Security-Policy", "frame-ancestors 'self'; object-src 'none'")

    def set_extra_headers(self, path: str) -> None:
        # Asked for again each time, and not sent again: a book that was built anew shows at once.
        self.set_header("Cache-Control", "no-cache")

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        """Nothing whose name begins with a dot: what git and others leave in a folder."""
        file = Path(absolute_path)
        below = file.relative_to(root).parts if file.is_relative_to(root) else ("..",)
        if any(part.startswith(".") for part in below):
            raise web.HTTPError(404)
        return super().validate_absolute_path(root, absolute_path)

    def compute_etag(self) -> str | None:
        """By time and size: tornado's own one is computed once, and would outlive a new build."""
        found = Path(self.absolute_path or "").stat()
        return f'"{found.st_mtime_ns:x}-{found.st_size:x}"'

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        page = Path(self.root) / MISSING
        if status_code == 404 and page.is_file():
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.finish(page.read_bytes())
        else:
            super().write_error(status_code, **kwargs)
