# examples/systemd/jupyterhub.service: checked by systemd, and its command run as it would be.
#
# No systemd is the first process where tests run: what it does with the unit is not tested, but
# that it takes it, and that the hub comes up from its command, environment and folders.
. "$(dirname "$0")/common.sh"

VENV=$FOLDER/opt/jupyterhub
CONFIG=$FOLDER/etc/jupyterhub/jupyterhub_config.py
DB=sqlite:///$FOLDER/var/lib/jupyterhub/hub_quotas.sqlite
UNIT=$FOLDER/etc/systemd/system/jupyterhub.service
mkdir -p opt etc/systemd/system var/lib/jupyterhub
documented "A service of systemd" 1
write_hub_config
readme_lines >>"$CONFIG"

# What `systemctl enable --now` does, as far as it can be done here.
systemctl() {
    step "systemd-analyze verify"
    sed -E -i "s#(/opt|/etc|/var/lib)/jupyterhub#$FOLDER\1/jupyterhub#g" "$UNIT"
    systemd-analyze verify "$UNIT" >verified 2>&1 || fail "$(cat verified)"
    if grep -F jupyterhub.service verified | grep -vF "'DelegateSubgroup'"; then  # not in 252
        fail "$(cat verified)"
    fi
    start_hub as_the_unit_says
}

value() { sed -n "s/^$1=//p" "$UNIT"; }
as_the_unit_says() {
    local words environment
    read -ra words <<<"$(value ExecStart)"
    environment=("$(value Environment)" "$(cat "$(value EnvironmentFile)")")
    cd "$(value WorkingDirectory)"
    exec env --ignore-environment "${environment[@]}" "${words[@]}"
}
cp -r "$ROOT/examples" examples
documented "A service of systemd" 2
first_limit
stop_hub
[ -f var/lib/jupyterhub/hub_groups.sqlite ] || fail "the data is elsewhere"
echo ok
