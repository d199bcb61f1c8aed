# What all scripts here do, in the order in which somebody would type it. Each begins with nothing
# but Python and this package, in an empty folder, and ends with the line `ok`:
#
#     bash tests/install/plain.sh PACKAGE [HUB]
#
# PACKAGE is a wheel, or what else pip installs; HUB a version of JupyterHub.
# FOLDER, PYTHON, PORT, HUB_PORT and PROXY_PORT may be set.

set -euo pipefail

PACKAGE=${1:?what to install: a wheel}
HUB=${2:-6.1}
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
FOLDER=${FOLDER:-$(mktemp -d)}
mkdir -p "$FOLDER"
PYTHON=${PYTHON:-python3}
PORT=${PORT:-8000} HUB_PORT=${HUB_PORT:-8081} PROXY_PORT=${PROXY_PORT:-8001}
URL=http://127.0.0.1:$PORT
VENV=${VENV:-$FOLDER/venv}
CONFIG=$FOLDER/jupyterhub_config.py
LOG=$FOLDER/hub.log
DB=sqlite:///$FOLDER/hub_quotas.sqlite
HUB_PID=
export PYTHONUTF8=1 PIP_QUIET=1 PIP_DISABLE_PIP_VERSION_CHECK=1
cd "$FOLDER"

step() { echo "-- $*"; }

fail() {
    echo "FAILED: $*" >&2
    [ ! -f "$LOG" ] || tail -n 60 "$LOG" >&2
    exit 1
}

# What is looked at again until it is so, for a minute.
wait_for() {
    local what=$1 tries
    shift
    for ((tries = 0; tries < 240; tries++)); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.25
    done
    fail "waited a minute for $what"
}

# -- installing ----------------------------------------------------------------------------------

new_environment() {
    step "a new environment with $*"
    "$PYTHON" -m venv "$VENV"
    "$VENV/bin/pip" install "$@"
}

install_package() {
    step "pip install $PACKAGE"
    "$VENV/bin/pip" install "$PACKAGE"
}

# A hub as it was before us. Users' servers are the hub's own stand-in for one, of 2 GiB each.
write_hub_config() {
    cat >"$CONFIG" <<PY
import sys

c.JupyterHub.bind_url = "$URL"
c.JupyterHub.hub_port = $HUB_PORT
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:$PROXY_PORT"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"admin"}
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = "$FOLDER/homes/{username}"
c.Spawner.cmd = [sys.executable, "-m", "jupyterhub.tests.mocksu"]
c.Spawner.mem_limit = "2G"
PY
}

# The lines of the README for any hub.
readme_lines() { sed -n '/^```python$/,/^```$/p' "$ROOT/README.md" | sed '/^```/d'; }

# Of a section of docs/install.md, all blocks of a language, or the one of that number.
blocks_of() {
    awk -v section="## $1" -v fence="\`\`\`$2" -v number="${3:-}" '
        /^## / { here = $0 == section }
        /^```/ { if (inside) inside = 0; else if (here && $0 == fence) { inside = 1; n++ } ; next }
        inside && (number == "" || n == number)' "$ROOT/docs/install.md"
}

# Run the commands of a section of docs/install.md, or of its block of that number. What is
# installed is PACKAGE, and /opt, /etc and /var are in FOLDER.
documented() {
    local section=$1 commands
    commands=$(blocks_of "$section" bash "${2:-}" |
        sed -E "s#(^|[ /])/(opt|etc|var)/#\1$FOLDER/\2/#g; /uninstall/! s#jupyterhub-group-quotas(\[[a-z]+\])?#$PACKAGE\1#")
    [ -n "$commands" ] || fail "docs/install.md has no commands in: $section"
    step "as documented: $section"
    echo "$commands"
    eval "$commands"
}

sudo() { "$@"; }
pip() { "$VENV/bin/pip" "$@"; }
python3() { command "$PYTHON" "$@"; }

# -- the hub -------------------------------------------------------------------------------------

# Each hub process has a log of its own: FOLDER/hub.log is that of the last one.
start_hub() {
    step "starting the hub"
    [ $# -gt 0 ] || set -- "$VENV/bin/jupyterhub" --config "$CONFIG"
    : >"$LOG" # now: that of the hub before says that it is running
    PATH=$VENV/bin:/usr/bin:/bin "$@" >"$LOG" 2>&1 </dev/null &
    HUB_PID=$!
    wait_for "the hub to come up" is_up_or_gone
    grep -q "JupyterHub is now running" "$LOG" || fail "the hub stopped"
}

is_up_or_gone() { grep -q "JupyterHub is now running" "$LOG" || ! kill -0 "$HUB_PID"; }

stop_hub() {
    [ -n "$HUB_PID" ] || return 0
    step "stopping the hub"
    kill "$HUB_PID" 2>/dev/null || true
    wait "$HUB_PID" || true
    HUB_PID=
}

trap stop_hub EXIT

# To the hub, a start that is refused is an error too.
no_errors() {
    if grep -E "Traceback|^\[E|^\[C" "$LOG" | grep -v "The group default allows"; then
        fail "the hub's log has errors"
    fi
}

# -- somebody with a browser ---------------------------------------------------------------------

page() { curl --silent --show-error --location --cookie cookies --cookie-jar cookies "$@"; }

xsrf() { awk '$6 == "_xsrf" && $3 == "/hub/" { value = $7 } END { print value }' cookies; }

log_in() {
    step "$1 logs in"
    rm -f cookies
    page "$URL/hub/login" >/dev/null
    page --fail --data-urlencode "_xsrf=$(xsrf)" --data "username=$1&password=" \
        "$URL/hub/login?next=/hub/token" >/dev/null
}

# All limits that there are from now on.
limit() {
    step "the only limit: $1"
    echo "groups: {default: {limits: {$1}}}" >quotas.yaml
    "$VENV/bin/hub-quotas" apply quotas.yaml --db "$DB" --yes
}

says() {
    page "$URL/$1" >page.html
    grep -qF "$2" page.html || fail "/$1 does not say: $2"
}

refused() {
    step "a server is refused: $1"
    says hub/spawn "$1"
}

started() {
    step "a server starts"
    page --fail "$URL/hub/spawn" >/dev/null
    wait_for "the server of robin" server_runs
}

stopped() {
    step "the server is stopped"
    page --fail --request DELETE --header "X-XSRFToken: $(xsrf)" "$URL/hub/api/users/robin/server"
    wait_for "the server to stop" nothing_runs
}

status_of() { curl --silent --output /dev/null --write-out '%{http_code}' "$1"; }

# Elsewhere the proxy asks the hub, which leads to the login.
server_runs() { [ "$(status_of "$URL/user/robin/")" = 200 ]; }

nothing_runs() { [ "$(status_of "$URL/user/robin/")" = 302 ]; }

# What all this is for.
first_limit() {
    log_in robin
    limit "server.memory: 1G"
    refused "The group default allows each server at most 1 GiB of memory; this one asks for 2 GiB."
    limit "server.memory: 4G"
    started
    "$VENV/bin/hub-quotas" sessions --db "$DB" | grep -w robin
    stopped
    no_errors
}
