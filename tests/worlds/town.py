"""A university's hub that looks lived in; `town.py` beside the tests gives it a past."""

import json
import os
import sys
from pathlib import Path

from jupyterhub.spawner import SimpleLocalProcessSpawner

sys.path.insert(0, str(Path(__file__).parent.parent))
from town import PROFILES, ROSTER  # noqa: E402

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

roster = Path(world["folder"]) / "roster.csv"
roster.write_text(ROSTER + world.get("more_roster", ""))
c.HubGroups.rosters = [str(roster)]
c.HubQuotas.currency = "€"
c.HubQuotas.support = "hub-help@example.org"
c.Authenticator.admin_users = {"admin", "jo"}


class ProfileSpawner(SimpleLocalProcessSpawner):
    """Says of GPUs what DockerSpawner says."""

    extra_host_config = {}


def pre_spawn_hook(spawner):
    profile = PROFILES[spawner.user_options.get("profile", "small")]
    spawner.cpu_limit = profile["cpu"] / 1000
    spawner.mem_limit = profile["memory"]
    gpus = [{"Count": profile["gpu"]}] if "gpu" in profile else []
    spawner.extra_host_config = {"device_requests": gpus}


c.JupyterHub.spawner_class = ProfileSpawner
c.Spawner.pre_spawn_hook = pre_spawn_hook
