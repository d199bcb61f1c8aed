"""A hub whose only words about us are a snippet of the documentation."""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "bare.py"))
c = get_config()
exec(json.loads(os.environ["WORLD"])["config"])  # noqa: S102
