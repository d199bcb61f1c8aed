"""A hub whose servers are held by the kernel, and do what a test's request says."""

import json
import os
import sys
from pathlib import Path

import hub_quotas.cgroups

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

# Small: what Python itself takes must fit below limits of some ten MiB.
SERVER = r"""
import http.server, os, subprocess, sys, urllib.parse

BURN = '''
import time
end = time.monotonic() + 2
while time.monotonic() < end: pass
print(time.process_time() / 2)
'''
held = []

def do(what, value):
    if what == "allocate":
        held.append(b"x" * int(value))
    elif what == "burn":  # CPU seconds per second, by a child
        return subprocess.check_output([sys.executable, "-c", BURN], text=True)
    elif what == "leave":  # something that runs on
        return subprocess.Popen(["sleep", "1000"], start_new_session=True).pid
    elif what == "write":
        file, _, text = value.partition("=")
        try:
            with open(file, "w") as opened:
                opened.write(text)
        except OSError as error:
            return error.strerror
    return os.getuid()

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        what = urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query)
        answer = str([do(*w) for w in what] or "up")
        self.send_response(200)
        self.end_headers()
        self.wfile.write(answer.encode())

port = urllib.parse.urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""

c.JupyterHub.spawner_class = "hub_quotas.cgroups.LimitedSimpleLocalProcessSpawner"
c.Spawner.cmd = [world.get("server_python", sys.executable), "-c", SERVER]
c.Spawner.poll_interval = 1
c.Spawner.mem_limit = None
c.Spawner.cpu_limit = None
if "proc" in world:
    hub_quotas.cgroups.PROC = Path(world["proc"])
exec(world.get("config", ""))  # noqa: S102
