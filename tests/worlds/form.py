"""A hub with a spawn form that chooses the memory."""

from pathlib import Path

load_subconfig(str(Path(__file__).parent / "formless.py"))  # noqa: F821
c = get_config()  # noqa: F821

c.Spawner.options_form = '<input name="memory" value="512M" aria-label="Memory">'
