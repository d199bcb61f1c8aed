"""A hub whose servers soon have used what they may; its admin announces things too."""

import json
import os
import sys
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "formless.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

# Ends at the instant at which it is told to: what a hub's stop takes is measured, not a server's.
SERVER = """
import http.server, os, signal, urllib.parse
signal.signal(signal.SIGINT, signal.SIG_DFL)
port = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port
http.server.ThreadingHTTPServer(
    ("127.0.0.1", port), http.server.SimpleHTTPRequestHandler
).serve_forever()
"""
c.Spawner.cmd = [sys.executable, "-c", SERVER]
c.Spawner.options_form = '<input name="memory" value="512M" aria-label="Memory">'
c.JupyterHub.template_vars = {
    "announcement": "All: closed on <b>Friday</b>",
    "announcement_spawn": lambda user: f"Spawn: hello {user.name}" if user else "",
}
for name, value in world.get("quotas", {}).items():
    setattr(c.HubQuotas, name, value)
if "server_token_scopes" in world:
    c.Spawner.server_token_scopes = world["server_token_scopes"]
