# The hub and all of us in one database of PostgreSQL: DATABASE=postgresql://USER@HOST:PORT/NAME
. "$(dirname "$0")/common.sh"

: "${DATABASE:?a database that is empty, as postgresql://USER@HOST:PORT/NAME}"
DB=$DATABASE
new_environment "jupyterhub==$HUB.*" configurable-http-proxy
install_package
write_hub_config
blocks_of PostgreSQL python | sed "s#postgresql://hub@db.example.org/hub#$DATABASE#" >>"$CONFIG"
readme_lines >>"$CONFIG"

step "without psycopg, the hub and the command line say what to install"
advice="PostgreSQL needs psycopg: pip install 'jupyterhub-group-quotas[postgres]'"
status=0
PATH=$VENV/bin:$PATH timeout 60 "$VENV/bin/jupyterhub" --config "$CONFIG" >"$LOG" 2>&1 || status=$?
[ "$status" = 1 ] || fail "the hub starts"
grep -F "c.HubGroups.db_url: $advice" "$LOG" || fail "the hub does not say so"
if grep Traceback "$LOG"; then fail "that is not a sentence"; fi
if "$VENV/bin/hub-quotas" usage --db "$DB" 2>said; then fail "it needs no psycopg"; fi
[ "$(cat said)" = "--db: $advice." ] || fail "$(cat said)"

documented "PostgreSQL"
echo "c.JupyterHub.db_url = '${DATABASE/postgresql:/postgresql+psycopg:}'" >>"$CONFIG"
start_hub
first_limit
stop_hub
[ ! -f hub_quotas.sqlite ] || fail "the ledger is in a file"

step "the same again, on what is there"
start_hub
"$VENV/bin/hub-quotas" sessions --since 1d --db "$DB" | grep -w robin
no_errors
stop_hub
echo ok
