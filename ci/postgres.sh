#!/usr/bin/env bash
# A throw-away PostgreSQL for the tests, beside whatever runs on this machine.
#
#   eval "$(ci/postgres.sh start)"    starts one and exports HEXLINE_TEST_POSTGRES, its URL
#   ci/postgres.sh stop               stops that one and removes it
#
# Nothing that it holds survives: it does not even sync to disk. It listens on a free loopback port
# and trusts everyone who reaches that.
set -euo pipefail

start() {
  local bin dir port try
  bin=$(newest_bin)
  # A directory of its own below the system's, since the server may run as another user.
  dir=$(mktemp -d "${TMPDIR:-/tmp}/hexline-postgres.XXXXXX")
  if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$dir"
  fi
  # Texts of a language sort unlike bytes there: the schema has to ask for bytes where it matters.
  as_owner "$bin/initdb" --pgdata="$dir/data" --username=postgres --auth=trust --encoding=UTF8 \
    --locale=C.UTF-8 --no-sync "${icu[@]}" >&2
  for try in 1 2 3 4 5 6 7 8; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 40000))
    if as_owner "$bin/pg_ctl" start --silent --wait --pgdata="$dir/data" --log="$dir/log" \
      --options="-p $port -k $dir -c listen_addresses=127.0.0.1 -c max_connections=300 \
        -c fsync=off -c full_page_writes=off" >&2; then
      printf 'export HEXLINE_TEST_POSTGRES=%q\n' "postgres://postgres@127.0.0.1:$port/postgres"
      printf 'export HEXLINE_TEST_POSTGRES_DIR=%q\n' "$dir"
      return
    fi
    echo "try $try: no start on port $port" >&2
  done
  cat "$dir/log" >&2
  rm -rf "$dir"
  exit 1
}

stop() {
  local dir=${HEXLINE_TEST_POSTGRES_DIR:?is not set: nothing to stop}
  as_owner "$(newest_bin)/pg_ctl" stop --silent --mode=immediate --pgdata="$dir/data" >&2
  rm -rf "$dir"
}

# Debian keeps each version's programs in a directory of its own, off the PATH.
newest_bin() {
  local newest
  newest=$(compgen -G '/usr/lib/postgresql/*/bin/initdb' | sort -V | tail -n 1 || true)
  newest=${newest:-$(command -v initdb || true)}
  if [ -z "$newest" ]; then
    echo "there is no PostgreSQL server here: install the package postgresql" >&2
    exit 1
  fi
  dirname "$newest"
}

# The server refuses to run as root.
as_owner() {
  if [ "$(id -u)" -eq 0 ]; then
    (cd / && exec setpriv --reuid=postgres --regid=postgres --init-groups "$@")
  else
    "$@"
  fi
}

icu=()
if "$(newest_bin)/initdb" --help | grep -q -- --icu-locale; then
  icu=(--locale-provider=icu --icu-locale=en)
fi

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  *) echo "usage: ci/postgres.sh start|stop" >&2 && exit 2 ;;
esac
