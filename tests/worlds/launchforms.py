"""Hubs whose forms are of another kind; `kind` in WORLD says which."""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "launches.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

if world["kind"] == "typed":
    c.Spawner.options_form = '<label>Memory <input name="memory" value="256M"></label>'
    c.Spawner.options_from_form = "passthrough"
    c.Spawner.apply_user_options = lambda spawner, options: None

if world["kind"] == "two":

    def options_from_form(form_data, spawner):
        return {"profile": form_data["profile"][0], "for": spawner.user.name}

    c.Spawner.options_from_form = options_from_form
