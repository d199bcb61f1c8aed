"""A hub whose users log in by LDAP, at the directory (`slapd.Slapd`) that it takes its groups from.

Settings: `ldap_port`, and `ldap` and `ldap_every`: what `c.HubGroups` is to have of these.
"""

import json
import os
from pathlib import Path

load_subconfig(str(Path(__file__).parent / "base.py"))
c = get_config()
world = json.loads(os.environ["WORLD"])

c.JupyterHub.authenticator_class = "ldapauthenticator.LDAPAuthenticator"
c.LDAPAuthenticator.server_address = "127.0.0.1"
c.LDAPAuthenticator.server_port = world["ldap_port"]
c.LDAPAuthenticator.tls_strategy = "insecure"  # on this machine
c.LDAPAuthenticator.bind_dn_template = ["uid={username},ou=people,dc=example,dc=edu"]

c.HubGroups.ldap = world["ldap"]
c.HubGroups.ldap_every = world.get("ldap_every", 60)
