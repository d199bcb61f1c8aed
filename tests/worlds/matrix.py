"""Another world by its name, of a hub that exits after five failed starts in a row.

`roster` in WORLD says who is in which group. The server of a user `broken` can't start.
"""

import json
import os
from pathlib import Path

world = json.loads(os.environ["WORLD"])
load_subconfig(str(Path(__file__).parent / f"{world['spawner']}.py"))
c = get_config()

roster = Path(world["folder"]) / "roster.csv"
roster.write_text(world["roster"])
c.HubGroups.rosters = [str(roster)]

c.Spawner.consecutive_failure_limit = 5


def fail(spawner):
    if spawner.user.name == "broken":
        raise RuntimeError("Broken for a test.")
    return "well"


c.Spawner.environment = {"HEALTH": fail}
