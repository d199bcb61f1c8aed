"""The address of the pages is taken."""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "base.py"))  # noqa: F821
c = get_config()  # noqa: F821

c.HubGroups.service_url = f"http://127.0.0.1:{json.loads(os.environ['WORLD'])['proxy_port']}"
