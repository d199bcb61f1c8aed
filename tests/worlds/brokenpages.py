"""The address of the pages is taken."""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()

c.HubGroups.service_url = f"http://127.0.0.1:{json.loads(os.environ['WORLD'])['proxy_port']}"
