"""A ledger that can't be reached until somebody makes its folder."""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "formless.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

c.HubQuotas.db_url = f"sqlite:///{world['folder']}/away/hub_quotas.sqlite"
c.HubQuotas.on_outage = world.get("on_outage", "refuse")
c.HubQuotas.policy = {"groups": {"default": {"limits": {"member.servers": "1"}}}}
