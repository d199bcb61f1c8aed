#!/usr/bin/env bash
# The hub image of Zero to JupyterHub with our packages in it, as far as it goes without an engine: a
# Debian with Python 3.14 in a folder, the versions that the image freezes, and then the steps of
# examples/z2jh/Containerfile. Needs root, debootstrap and a Debian for apt's mirror.
#
#   tests/install/z2jh.sh IMAGE REQUIREMENTS WHEEL
#
# Fails where our package changes a version of the image's own, also with all that it can do besides.
set -euo pipefail
image=$1 requirements=$2 wheel=$3
here=$(cd "$(dirname "$0")" && pwd)

# What pip and apt of this machine know of their way out, the image's have to know too.
certificates=${PIP_CERT:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}}
unset SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE PIP_FIND_LINKS
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
export PIP_CERT=/etc/ssl/certs/ca-certificates.crt PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | awk '/\/debian\/*$/ && !found++')
debootstrap --variant=minbase --include=ca-certificates,python3.14,python3.14-venv sid "$image" ${mirror:+"$mirror"}
cp --dereference /etc/resolv.conf "$image/etc/resolv.conf"
cp --dereference "$certificates" "$image$PIP_CERT"
if [ -e /etc/pip.conf ]; then cp /etc/pip.conf "$image/etc/pip.conf"; fi

# psycopg2 comes as source alone. apt is three times as fast with a compiler as debootstrap.
chroot "$image" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet \
  --no-install-recommends gcc libc6-dev libpq-dev python3.14-dev
chroot "$image" python3.14 -m venv /usr/local # the image's prefix
chroot "$image" useradd --uid 1000 --create-home jovyan
install --directory --owner 1000 --group 1000 "$image/srv/jupyterhub"

cp "$requirements" "$image$HOME/requirements.txt"
chroot "$image" pip install --quiet --no-cache-dir -r "$HOME/requirements.txt"
chroot "$image" pip freeze | sort > "$image$HOME/before"

cp "$wheel" "$image$HOME/"
export PACKAGE="$HOME/$(basename "$wheel")"
user=0
while read -r word step; do
  case $word in
    USER) user=$step ;;
    RUN)
      echo "as $user: $step"
      chroot --userspec="$user:$user" "$image" sh -euc "$step"
      ;;
  esac
done < <(sed --expression=':join' --expression='/\\$/N; s/\\\n//; t join' "$here/../../examples/z2jh/Containerfile")

changed=$(comm -23 "$image$HOME/before" <(chroot "$image" pip freeze | sort))
if [ -n "$changed" ]; then
  echo "Not what the image had: $changed" >&2
  exit 1
fi
chroot "$image" pip install --quiet --dry-run --no-cache-dir --constraint "$HOME/before" "$PACKAGE[postgres,ldap,scim]"
