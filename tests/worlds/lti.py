"""A hub that is launched from courses by LTI 1.3.

Settings: `platform`, the address of one (`test_lti_in_hub.Platform`), and `groups`: what is set in
`c.HubGroups`.
"""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])
platform = world["platform"]

os.environ["JUPYTERHUB_CRYPT_KEY"] = "11" * 32
c.JupyterHub.authenticator_class = "ltiauthenticator.lti13.auth.LTI13Authenticator"
c.LTI13Authenticator.issuer = platform
c.LTI13Authenticator.authorize_url = f"{platform}/authorize"
c.LTI13Authenticator.jwks_endpoint = f"{platform}/jwks"
c.LTI13Authenticator.client_id = {"hub-tool"}
c.LTI13Authenticator.username_key = "sub"
c.LTI13Authenticator.enable_auth_state = True
c.HubGroups.rules = [{"preset": "lti13"}]
for name, value in world.get("groups", {}).items():
    c.HubGroups[name] = value
