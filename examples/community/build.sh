#!/bin/sh
# Builds this book into _build/html.
# HUB_QUOTAS_DB: the database of limits, for plans and prices; without it, that page says nothing.
# BASE_URL: where the book is served, below the hub's address.
set -eu
cd "$(dirname "$0")"
if [ -n "${HUB_QUOTAS_DB:-}" ]; then
  hub-quotas menu --currency "${CURRENCY:-}" > _plans.md
else
  echo "Ask whoever runs the hub." > _plans.md
fi
share-links init .
share-links build .
BASE_URL="${BASE_URL-/services/launch/community}" jupyter-book build --html
