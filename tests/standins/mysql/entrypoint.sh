#!/bin/bash
# The part of the official image's contract that the chart uses: options are for mariadbd.
set -euo pipefail
[ "${1:-}" = mariadbd ] && shift
data=/var/lib/mysql
own=(--no-defaults "--datadir=$data" --socket=/run/mysqld/mysqld.sock --pid-file=/run/mysqld/mysqld.pid)
if [ ! -d "$data/mysql" ]; then
  mariadb-install-db --no-defaults "--datadir=$data" --auth-root-authentication-method=normal >/dev/null
  cat > /tmp/first.sql <<SQL
ALTER USER 'root'@'localhost' IDENTIFIED BY '$MARIADB_ROOT_PASSWORD';
CREATE USER 'root'@'%' IDENTIFIED BY '$MARIADB_ROOT_PASSWORD';
GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;
DROP USER IF EXISTS ''@'localhost', ''@'$(hostname)';
SQL
  set -- --init-file=/tmp/first.sql "$@"
fi
exec mariadbd "${own[@]}" --bind-address=0.0.0.0 "$@"
