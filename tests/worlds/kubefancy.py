"""The same profiles, shown by jupyterhub-fancy-profiles."""

from pathlib import Path

from jupyterhub_fancy_profiles import setup_ui

load_subconfig(str(Path(__file__).parent / "kubeprofiles.py"))
c = get_config()

setup_ui(c)
