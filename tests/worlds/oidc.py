"""A hub whose users log in at a provider of OpenID Connect.

Settings: `issuer`, and `authenticator` and `groups`: what is set in `c.GenericOAuthenticator` and
`c.HubGroups`.
"""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])
issuer = world["issuer"]

os.environ["JUPYTERHUB_CRYPT_KEY"] = "11" * 32
c.JupyterHub.authenticator_class = "generic-oauth"
provider = c.GenericOAuthenticator
provider.client_id = "the-hub"
provider.client_secret = "of-the-hub"
provider.oauth_callback_url = f"{world['url']}/hub/oauth_callback"
provider.authorize_url = f"{issuer}/{world.get('authorize', 'oauth/authorize')}"
provider.token_url = f"{issuer}/{world.get('token_path', 'oauth/token')}"
provider.userdata_url = f"{issuer}/{world.get('userinfo', 'oauth/userinfo')}"
provider.scope = ["openid", "profile", "email", "groups"]
provider.username_claim = "sub"
provider.enable_pkce = True
provider.enable_auth_state = True
provider.auth_refresh_age = 1
provider.refresh_pre_spawn = True
if world.get("manage_groups", True):
    provider.manage_groups = True
    provider.auth_state_groups_key = "oauth_user.groups"
for name, value in world.get("authenticator", {}).items():
    provider[name] = value
for name, value in world.get("groups", {}).items():
    c.HubGroups[name] = value
