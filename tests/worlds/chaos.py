"""A hub that is killed all the time. What its spawners see goes into a record of their own."""

import json
import os
import sys
from pathlib import Path

import psutil
from jupyterhub.services.service import _ServiceSpawner
from jupyterhub.spawner import SimpleLocalProcessSpawner

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from chaos.note import note, true_now  # noqa: E402
from chaos.plan import HEARTBEAT  # noqa: E402

from hub_quotas import reconcile  # noqa: E402

reconcile.COMPARE_SECONDS = HEARTBEAT  # thirty seconds would make minutes hours

load_subconfig(str(HERE / "base.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

ME = os.getpid()
note(world["record"], "life", hub=ME)


class ChaosSpawner(SimpleLocalProcessSpawner):
    """Servers have a place by which a hub finds them again, as pods have a name.

    Plain local processes have none: one whose hub was killed before it stored the process id runs
    on for ever, and no hub knows.
    """

    session_id = None  # the quota mixin's, over this class
    last_session = None  # for when the mixin has let go of it

    @property
    def place(self):
        return Path(world["folder"]) / "places" / f"{self.user.name}--{self.name}"

    def get_env(self):
        return {
            **super().get_env(),
            "CHAOS_RECORD": world["record"],
            "CHAOS_PLACE": str(self.place),
            "CHAOS_SESSION": self.session_id or "",
            "CHAOS_USER": self.user.name,
            "CHAOS_SERVER": self.name,
        }

    def note(self, what, at=None):
        self.last_session = self.session_id or self.last_session
        of = {"session": self.last_session, "user": self.user.name, "server": self.name}
        note(world["record"], what, at, hub=ME, **of)

    def load_state(self, state):
        super().load_state(state)
        found = json.loads(self.place.read_text()) if self.place.exists() else {}
        if not self.pid and state and found.get("session") == state.get("quota_session"):
            self.pid, self.port = found["pid"], found["port"]

    async def get_url(self):
        url = await super().get_url()
        return url if self.server.port else url.replace(":0/", f":{self.port}/")

    async def run_pre_spawn_hook(self):
        self.last_session = self.session_id = None
        self.note("ask")

    async def start(self):
        address = await super().start()
        self.note("alive")
        return address

    async def poll(self):
        at = true_now()
        status = await super().poll()
        if status is None and psutil.Process(self.pid).status() == psutil.STATUS_ZOMBIE:
            # It was another hub's child, and in a container perhaps nobody reaps it.
            self.clear_state()
            status = 0
        if self.session_id:
            self.note("alive" if status is None else "dead", at)
        return status

    async def stop(self, now=False):
        self.note("stop")
        await super().stop(now)

    async def run_post_stop_hook(self):
        """The mixin has told the ledger before it comes here."""
        self.note("told")


start = _ServiceSpawner.start


def start_and_look_often(self):
    """Not the hub's half a minute: most kills of a service would find none."""
    self.poll_interval = 2
    return start(self)


_ServiceSpawner.start = start_and_look_often

if world.get("db_url"):
    c.HubQuotas.db_url = world["db_url"]
c.JupyterHub.spawner_class = ChaosSpawner
c.JupyterHub.load_groups = world["groups"]
c.JupyterHub.cleanup_servers = False
c.Spawner.cmd = [sys.executable, "-S", "-E", str(HERE.parent / "chaos" / "server.py")]
c.Spawner.poll_interval = 1
c.Spawner.http_timeout = 10
c.Spawner.start_timeout = 20
# Starts that fail are what this is about; the hub would stop after five in a row.
c.Spawner.consecutive_failure_limit = 0
