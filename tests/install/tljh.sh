# The layout and loading order of The Littlest JupyterHub, below FOLDER instead of /opt/tljh.
#
# It is installed by a script of its own on a machine with systemd; neither is here. So
# tests/install/tljh does what its jupyterhub_config.py does, in its order: see there.
. "$(dirname "$0")/common.sh" "$1" "${2:-5.5}"

PREFIX=$FOLDER/opt/tljh
VENV=$PREFIX/hub
DB=sqlite:///$PREFIX/state/hub_quotas.sqlite
CONFIG=$ROOT/tests/install/tljh/jupyterhub_config.py
export TLJH_INSTALL_PREFIX=$PREFIX PYTHONPATH=$ROOT/tests/install/tljh URL HUB_PORT PROXY_PORT
mkdir -p "$PREFIX" && cd "$PREFIX"
mkdir -p config/jupyterhub_config.d state user

new_environment "jupyterhub==$HUB.*" "jupyterhub-systemdspawner>=1.0.1,<2" pluggy pyyaml \
    configurable-http-proxy
cat >config/config.yaml <<'YAML'
users: {admin: [admin]}
auth: {type: dummy, DummyAuthenticator: {allow_all: true}}
limits: {memory: 2G, cpu: 1}
YAML
cat >config/jupyterhub_config.d/site.py <<'PY'
# What an admin of TLJH may have there: it is loaded last, and replaces what plugins assign.
async def pre_spawn_hook(spawner):
    spawner.environment = {**spawner.environment, "SITE": "ours"}


c.Spawner.pre_spawn_hook = pre_spawn_hook
c.JupyterHub.services = [{"name": "site", "api_token": "0123456789abcdef"}]
c.HubQuotas.currency = "€"
PY

in_state() {
    cd "$PREFIX/state"
    exec "$VENV/bin/python3" -m jupyterhub.app -f "$CONFIG" --upgrade-db
}

tljh-config() {
    stop_hub
    start_hub in_state
}

start_hub in_state
documented "The Littlest JupyterHub" 1
echo "groups: {default: {limits: {server.memory: 1G}}}" >quotas.yaml
documented "The Littlest JupyterHub" 2
first_limit
says services/quotas/ "My usage"
[ -f state/hub_quotas.sqlite ] || fail "the data is elsewhere"
grep -qF '"SITE": "ours"' state/units/jupyter-robin.json || fail "the admin's hook did not run"
grep -qF '"MemoryMax": 2147483648' state/units/jupyter-robin.json || fail "$(cat state/units/*.json)"

step "a limit holds servers that ask for none"
sed -i "/^limits:/d" config/config.yaml
tljh-config reload hub
log_in robin
limit "server.memory: 1G"
started
grep -qF '"MemoryMax": 1073741824' state/units/jupyter-robin.json || fail "$(cat state/units/*.json)"
stopped
no_errors

step "pip uninstall"
documented "The Littlest JupyterHub" 3
log_in robin
started
if grep -q MemoryMax state/units/jupyter-robin.json; then fail "a limit is there still"; fi
stopped
no_errors
stop_hub
echo ok
