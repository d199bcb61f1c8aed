"""A snapshot comes to a reader's server, by the server's own Contents API."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field

from hub_groups.words import _

from .addresses import LaunchError
from .hub_client import HubDown, ReaderHub, message_of
from .pull_words import Failure
from .sharing import MOST_COPIES, explain_copy, folder_of, numbered
from .snapshots import Snapshots


@dataclass(frozen=True)
class Copy:
    """What is copied.

    Attributes:
        sharer: whose file it was.
        name: of the file.
        id: of its snapshot.
    """

    sharer: str
    name: str
    snapshots: Snapshots = field(repr=False)
    id: str


async def bring(copy: Copy, hub: ReaderHub, address: str) -> str | Failure:
    """Copy a file, unless the same one is there; where it is then, in the reader's home.

    What is there is never changed: another file gets a number.
    """
    try:
        data = await asyncio.to_thread(copy.snapshots.read, copy.id)
        folder = folder_of(copy.sharer)
        above = ""
        for name in folder.split("/"):
            above = f"{above}/{name}".lstrip("/")
            await hub.put(address, above, {"type": "directory"})
        for number in range(1, MOST_COPIES):
            path = f"{folder}/{numbered(copy.name, number)}"
            found = await hub.entry(address, path, content="0")
            if found is None:
                content = base64.b64encode(data).decode()
                file = {"type": "file", "format": "base64", "content": content}
                await hub.put(address, path, file)
                return path
            same_size = found["type"] != "directory" and found.get("size") == len(data)
            if same_size and await read_file(hub, address, path) == data:
                return path
    except LaunchError as error:
        fix = _("Ask {who} for a new one.").format(who=copy.sharer)
        return Failure("pull", str(error), fix, still=True)
    except HubDown as error:
        return explain_copy(getattr(error, "code", 599), message_of(error), copy.name)
    text = _("Your folder {folder} has {n} files of the name {file}.")
    said = text.format(folder=folder, n=MOST_COPIES - 1, file=copy.name)
    return Failure("pull", said, _("Remove some of them, and try again."), still=True)


async def read_file(hub: ReaderHub, address: str, path: str) -> bytes:
    """The bytes of a file of any kind.

    Raises:
        LaunchError: there is none.
        HubDown: it can't be read.
    """
    found = await hub.entry(address, path, type="file", format="base64")
    if found is None:
        raise LaunchError(_("There is no file '{file}' on your server.").format(file=path))
    return base64.b64decode(found["content"])
