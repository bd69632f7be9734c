#!/bin/bash
# The part of the official image's contract that the chart uses.
set -euo pipefail
listens=(-c "listen_addresses=*" -c "unix_socket_directories=/var/run/postgresql")
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --pgdata="$PGDATA" --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
    --auth-host=scram-sha-256 --auth-local=trust
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  pg_ctl --pgdata="$PGDATA" --wait -o "-c listen_addresses= -c unix_socket_directories=/var/run/postgresql" start
  createdb --host=/var/run/postgresql --username="$POSTGRES_USER" "$POSTGRES_DB"
  pg_ctl --pgdata="$PGDATA" --wait stop
fi
exec "$@" -D "$PGDATA" "${listens[@]}"
