"""A hub with a home page of its admin's own."""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "formless.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

templates = Path(world["folder"]) / "templates"
templates.mkdir(exist_ok=True)
(templates / "home.html").write_text(
    '{% extends "templates/home.html" %}'
    "{% block main %}<p>Of this hub's admin, for {{ user.name }}</p>{{ super() }}{% endblock %}"
)
c.JupyterHub.template_paths = [str(templates)]
c.JupyterHub.template_vars = {"announcement_home": "Closed on <b>Friday</b>"}
