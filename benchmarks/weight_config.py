"""A hub for weight.py: with as many of our packages as WEIGHT says, and nothing else to do."""
# ruff: noqa: F821 - the hub puts `c`, `get_config` and `load_subconfig` there

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from no_proxy import NoProxy

c = get_config()
weight = json.loads(os.environ["WEIGHT"])

c.JupyterHub.bind_url = "http://127.0.0.1:0"  # nothing is there
c.JupyterHub.hub_port = weight["port"]
c.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True

# Where pip installs the drop-ins.
drop_ins = sorted((Path(sys.prefix) / "etc/jupyterhub/jupyterhub_config.d").glob("*.py"))
for drop_in in drop_ins[: weight["packages"]]:
    load_subconfig(str(drop_in))
