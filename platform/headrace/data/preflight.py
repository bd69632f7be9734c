"""What has to be there before a site is installed: `python -m headrace.data.preflight --help`.

The chart runs it in a pod of its own before it changes anything; what it says is in the output of
`helm install`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from headrace.core.errors import EnvironmentProblem, HeadraceError
from headrace.data.probing import try_store
from headrace.data.store import Store, store_of
from headrace.data.vault import KEYS, OWNER, backup_store
from headrace.sites.cluster import StoreSettings

DATABASE = "PREFLIGHT_DATABASE_URL"
"""The variable with the URL of MLflow's database."""
_PATIENCE = 10
_CLUSTER = Path("/given/ca.crt")
"""The certificate by which a cluster is known."""


def main(arguments: list[str] | None = None) -> int:
    """Look at all that is asked for; 0 if a site can be installed, else 4."""
    parser = argparse.ArgumentParser(prog="headrace-preflight", description=__doc__)
    parser.add_argument("--store", help="the store's URL, s3://BUCKET/PREFIX")
    parser.add_argument("--endpoint", default="", help="the service; AWS's own unless given")
    parser.add_argument("--region", default="us-east-1", help="the bucket's region")
    parser.add_argument("--namespace", default="", help="whose store it is to be")
    parser.add_argument("--adopt", action="store_true", help="take over another site's store")
    parser.add_argument("--backup", help=f"where backups go; its keys are in {KEYS[0]}, …")
    parser.add_argument(
        "--backup-endpoint", default="", help="that service; AWS's own unless given"
    )
    parser.add_argument("--backup-region", default="us-east-1", help="that bucket's region")
    parser.add_argument("--mysql", default="", help="HOST:PORT of Kubeflow Pipelines' database")
    parser.add_argument(
        "--database", action="store_true", help=f"look at MLflow's, whose URL is in {DATABASE}"
    )
    given = parser.parse_args(arguments)
    problems: list[HeadraceError] = []
    if given.store:
        settings = StoreSettings(url=given.store, endpoint=given.endpoint, region=given.region)
        store = store_of(settings, patience=_PATIENCE)
        with _kept(problems):
            try_store(store)
            own(store, _me(given.namespace), adopt=given.adopt)
            print(f"The store {given.store} can be written and read.")
    if given.backup:
        with _kept(problems):
            place = (given.backup, given.backup_endpoint, given.backup_region)
            look_at_backups(backup_store(*place, patience=_PATIENCE))
            print(f"The place for backups {given.backup} can be written and read.")
    if given.database:
        with _kept(problems):
            look_at_postgres(os.environ.get(DATABASE, ""))
            print("MLflow's database answers.")
    if given.mysql:
        with _kept(problems):
            host, _, port = given.mysql.rpartition(":")
            look_at_port(host, int(port), what="Kubeflow Pipelines' database")
            print("Kubeflow Pipelines' database answers.")
    for one in problems:
        print(f"error: {one}", file=sys.stderr)
    return EnvironmentProblem.exit_code if problems else 0


@contextmanager
def _kept(problems: list[HeadraceError]) -> Iterator[None]:
    """Keep an error for the end: all of them are said at once."""
    try:
        yield
    except HeadraceError as error:
        problems.append(error)


def own(store: Store, me: dict[str, str], *, adopt: bool) -> None:
    """Write down whose the store is.

    Args:
        store: The store.
        me: Who asks for it: `namespace` and `cluster`.
        adopt: Take it over from whoever has it.

    Raises:
        EnvironmentProblem: Another site has it. Two would clear away each other's results.
    """
    uri = store.uri(OWNER)
    found = store.read(uri)
    theirs = json.loads(found) if found else me
    if theirs != me and not adopt:
        same = theirs.get("cluster") == me["cluster"]
        raise EnvironmentProblem(
            f"The store is that of the site in namespace {theirs.get('namespace')!r} of "
            f"{'this' if same else 'another'} cluster.",
            where=uri,
            hint="give this site a prefix of its own in store.url; or, if the other one is gone "
            "and this one is to have its results, set store.adopt=true",
        )
    store.write(uri, json.dumps(me).encode())


def _me(namespace: str) -> dict[str, str]:
    known = _CLUSTER.read_bytes() if _CLUSTER.exists() else b""
    return {"namespace": namespace, "cluster": hashlib.sha256(known).hexdigest()[:16]}


def look_at_backups(store: Store) -> None:
    """Write to the place for backups, and read it.

    Raises:
        EnvironmentProblem: It refuses.
    """
    try:
        try_store(store)
    except EnvironmentProblem as error:
        raise EnvironmentProblem(
            f"The place for backups: {error.what}",
            where=error.where,
            hint="make the bucket, or correct backup.to and the Secret that backup.existingSecret "
            "names",
        ) from error


def look_at_postgres(url: str) -> None:
    """Open a connection to a PostgreSQL database.

    Raises:
        EnvironmentProblem: It cannot be opened.
    """
    parts = urlsplit(url)
    if not parts.scheme.startswith("postgresql"):
        raise EnvironmentProblem(
            "The URL of MLflow's database is none of PostgreSQL.",
            hint="the Secret's key holds postgresql://USER:PASSWORD@HOST:PORT/NAME",
        )
    host, port = parts.hostname or "", parts.port or 5432
    look_at_port(host, port, what="MLflow's database")
    import psycopg

    try:
        plain = parts._replace(scheme="postgresql").geturl()
        psycopg.connect(plain, connect_timeout=_PATIENCE).close()
    except psycopg.OperationalError as error:
        said = str(error).strip().splitlines()[-1].rpartition("FATAL:")[2].strip()
        raise EnvironmentProblem(
            f"MLflow's database refuses: {said}",
            where=f"{host}:{port}{parts.path}",
            hint="correct the URL in the Secret that mlflow.database.existingSecret names, or make "
            "the database and its user",
        ) from error


def look_at_port(host: str, port: int, *, what: str) -> None:
    """Connect to a port.

    Raises:
        EnvironmentProblem: Nobody is there.
    """
    try:
        socket.create_connection((host, port), timeout=_PATIENCE).close()
    except OSError as error:
        raise EnvironmentProblem(
            f"{what[:1].upper()}{what[1:]} does not answer: {error}",
            where=f"{host}:{port}",
            hint="is it running, and may pods of this namespace reach it?",
        ) from error


if __name__ == "__main__":
    sys.exit(main())
