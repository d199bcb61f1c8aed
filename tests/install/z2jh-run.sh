#!/usr/bin/env bash
# Runs a command in an image that z2jh.sh made, as the chart's container does where it may write
# nowhere: as user 1000 with no rights besides, read-only but for its volume and /tmp.
#
#   tests/install/z2jh-run.sh IMAGE VOLUME COMMAND ...
set -euo pipefail
exec unshare --mount bash -euc '
  image=$1 volume=$2
  shift 2
  mount --bind "$image" "$image"
  mount -t proc proc "$image/proc"
  mount -t tmpfs tmpfs "$image/tmp"
  mount --bind "$volume" "$image/srv/jupyterhub"
  mount -o remount,bind,ro "$image"
  exec chroot "$image" setpriv --reuid=1000 --regid=1000 --clear-groups --no-new-privs \
    --inh-caps=-all --bounding-set=-all env --chdir=/srv/jupyterhub "$@"
' z2jh-run "$@"
