"""The real SystemdSpawner without systemd: its "units" are processes.

What systemd would have been told is in `units/NAME.json`. `memory` in the user's options is the
memory limit.
"""

import json
import os
import sys
from pathlib import Path

from systemdspawner import SystemdSpawner, systemd

sys.path.insert(0, str(Path(__file__).parent.parent))
from processes import Processes  # noqa: E402

load_subconfig(str(Path(__file__).parent / "formless.py"))
c = get_config()
units = Processes(Path(json.loads(os.environ["WORLD"])["folder"]) / "units")


async def start_transient_service(unit_name, cmd, args, environment_variables, **told):
    units.write(unit_name, told)
    units.start(unit_name, [*cmd, *args], environment_variables)


async def service_running(unit_name):
    return units.exit_code(unit_name) is None


async def service_failed(unit_name):
    return False


systemd.start_transient_service = start_transient_service
systemd.service_running = service_running
systemd.service_failed = service_failed
systemd.stop_service = units.stop

c.JupyterHub.spawner_class = SystemdSpawner
c.SystemdSpawner.dynamic_users = True  # no accounts needed
