#!/bin/bash
# Whether the server answers, whoever asks.
mariadb-admin --no-defaults --socket=/run/mysqld/mysqld.sock --user=nobody ping 2>&1 | grep -qE "alive|Access denied"
