"""A small hub with the drop-ins that are installed."""

import sys
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "bare.py"))

# Where pip installs the drop-ins, and where Zero to JupyterHub's image looks for them.
for drop_in in sorted((Path(sys.prefix) / "etc/jupyterhub/jupyterhub_config.d").glob("*.py")):
    load_subconfig(str(drop_in))
