"""A hub with a spawn form that chooses the memory."""

from pathlib import Path

load_subconfig(str(Path(__file__).parent / "formless.py"))
c = get_config()

c.Spawner.options_form = '<input name="memory" value="512M" aria-label="Memory">'
