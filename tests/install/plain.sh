# A hub on one machine with SQLite, and the same hub when we are gone again.
. "$(dirname "$0")/common.sh"

new_environment "jupyterhub==$HUB.*" configurable-http-proxy
before=$(PIP_QUIET=0 "$VENV/bin/pip" list --format freeze | cut -d= -f1 | sort)
write_hub_config
cp "$CONFIG" before.py
install_package
after=$(PIP_QUIET=0 "$VENV/bin/pip" list --format freeze | cut -d= -f1 | sort)
step "what came with it: $(comm -13 <(echo "$before") <(echo "$after") | tr '\n' ' ')"
if echo "$after" | grep -iE "^(numpy|pandas|jupyterlab|playwright|pytest|psycopg)"; then
    fail "this is too heavy for the image of a hub"
fi
drop_ins=$(cd "$VENV/etc/jupyterhub/jupyterhub_config.d" && echo *.py)
[ "$drop_ins" = "10-hub-groups.py 20-hub-quotas.py 30-share-links.py" ] || fail "$drop_ins"
for command in hub-group-quotas hub-groups hub-quotas share-links; do
    "$VENV/bin/$command" --help >/dev/null
done

readme_lines >>"$CONFIG"
cp "$CONFIG" with_roles.py
cat >>with_roles.py <<'PY'
c.JupyterHub.load_groups = {"operations": {"users": ["admin"]}}
c.JupyterHub.load_roles = [
    {"name": "quota-admins", "groups": ["operations"], "scopes": ["custom:quotas:admin"]}
]
PY

step "with what an earlier version has left"
for database in hub_groups hub_quotas share_links; do
    "$VENV/bin/python3" -c 'import sqlite3, sys
sqlite3.connect(sys.argv[1]).executescript(sys.stdin.read())' "$database.sqlite" \
        <"$ROOT/tests/releases/0.1.0.dev0-fe91843/$database.sql"
done
documented "Upgrade"
start_hub "$VENV/bin/jupyterhub" --config with_roles.py
"$VENV/bin/hub-quotas" sessions --since 3650d --db "$DB" | grep -w kim
"$VENV/bin/hub-quotas" explain sam --memory 9G --db "$DB" | grep -F "earth/geo-101 · server.memory: 8G" ||
    fail "the limits of before are not there"
grep -q "Running JupyterHub version $HUB" "$LOG" || fail "this is another JupyterHub"
first_limit
says services/quotas/ "My usage"

step "what is of us in the hub's database: a role, a token, a login on the pages"
page --fail --header "X-XSRFToken: $(xsrf)" --header "Content-Type: application/json" \
    --data '{"scopes": ["custom:quotas:act", "read:users!user"]}' "$URL/hub/api/users/robin/tokens" >token.json
token=$(sed -E 's/.*"token": *"([^"]*)".*/\1/' token.json)
limit "server.memory: 1G"
refused "The group default allows each server at most 1 GiB of memory"
stop_hub

step "pip uninstall, with the data and the lines of the README still there"
documented "Take it out again"
status=0
PATH=$VENV/bin:$PATH timeout 60 "$VENV/bin/jupyterhub" --config with_roles.py >"$LOG" 2>&1 || status=$?
[ "$status" = 1 ] || fail "the role is known still"
grep "custom:quotas:admin" "$LOG" || fail "the hub did not start, for another reason"
[ -f hub_quotas.sqlite ] || fail "the data is gone"
blocks_of "Take it out again" python >>with_roles.py
start_hub "$VENV/bin/jupyterhub" --config with_roles.py
curl --silent --fail --header "Authorization: token $token" "$URL/hub/api/user" | grep -F '"robin"' ||
    fail "robin's token does not work any more"
log_in admin # whose group had the role
says hub/admin "admin"
log_in robin
started
stopped
[ "$(status_of "$URL/hub/services/quotas/")" = 404 ] ||
    fail "the pages are there still"
no_errors
stop_hub

step "and the hub's own configuration of before"
CONFIG=before.py
start_hub
log_in robin
started
stopped
no_errors
stop_hub
echo ok
