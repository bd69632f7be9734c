"""What a backup's pod does: `python -m headrace.operating.safekeeping --help`.

The chart describes the pod; before and beside it, containers of the databases' own images dump or
load. What it says is for people, but for the last line, which is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace.cluster import contexts, labels
from headrace.cluster.client import Cluster
from headrace.cluster.errors import Forbidden, NotThere
from headrace.core.errors import EnvironmentProblem, HeadraceError
from headrace.data import copying
from headrace.data.store import Store, store_of
from headrace.data.vault import OWNER, Backup, Held, Vault, backup_store, require_apart
from headrace.serving import deployed, offers
from headrace.sites.cluster import CONFIG_MAP, Site, discover

VARIABLE = "HEADRACE_BACKUP"
"""The variable with the backup's name; the latest one, if it is empty."""
STATEFUL = "headrace.dev/restore=stopped"
"""The label of Deployments that keep their state in what is restored."""
REPLICAS = "headrace.dev/replicas"
"""The annotation of one that is stopped for it: what it had."""
CHORE = "headrace.dev/chore"
"""The label that says what a pod of these does: `save`, `put`, `list`, `check`."""
_HOSTNAME = "HOSTNAME"
_OVER = {"Complete", "Failed"}
_NAME = "%Y%m%d-%H%M%S"
_OF_KFP = "pipeline/runid"
_ACTIVE = ("Pending", "Running")


def main(arguments: list[str] | None = None) -> int:
    """Do one thing; 0 if it is done."""
    parser = argparse.ArgumentParser(prog="headrace-safekeeping", description=__doc__)
    parser.add_argument("--to", required=True, help="where backups are, s3://BUCKET/PREFIX")
    parser.add_argument("--endpoint", default="", help="the service; AWS's own unless given")
    parser.add_argument("--region", default="us-east-1", help="the bucket's region")
    parser.add_argument("--dumps", type=Path, default=Path("/work/dumps"), help="their folder")
    parser.add_argument("--keep", type=int, default=0, help="remove all but so many backups")
    parser.add_argument("--adopt", action="store_true", help="follow an earlier site's backups")
    parser.add_argument("what", choices=("save", "list", "check", "fetch", "put"))
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _end)  # the first process of a pod ends by nothing else
    try:
        told = _do(given)
    except HeadraceError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(told))
    return 0


def _do(given: argparse.Namespace) -> Any:
    name = os.environ.get(VARIABLE, "")
    vault = Vault(store=backup_store(given.to, given.endpoint, given.region))
    if given.what == "list":
        return [asdict(vault.load(one)) for one in vault.names()]
    if given.what == "fetch":
        return fetch(vault, vault.load(name), given.dumps)
    cluster = contexts.inside()
    site = discover(cluster)
    store = store_of(site.store)
    require_apart(vault.store, store)
    if given.what == "save":
        return asdict(
            save(vault, store, cluster, site, given.dumps, keep=given.keep, adopt=given.adopt)
        )
    backup = vault.load(name)
    require_fitting(backup, site)
    if given.what == "check":
        extra = set(store.listing(store.url)) - {one.path for one in vault.check(backup)} - {OWNER}
        return asdict(backup) | {"lost": len(extra), "active": active_runs(cluster)}
    require_alone(cluster)
    written, removed = copying.put_back(vault, backup, store, _say)
    vault.admit(installation_of(cluster))
    return asdict(backup) | {"written": written, "removed": removed}


def save(
    vault: Vault,
    source: Store,
    cluster: Cluster,
    site: Site,
    dumps: Path,
    *,
    keep: int = 0,
    adopt: bool = False,
) -> Backup:
    """Take a backup, once the databases have been dumped.

    Args:
        vault: Where to.
        source: The site's store.
        cluster: The site's cluster.
        site: The site.
        dumps: A folder with a file per database.
        keep: How many backups there may be; the oldest go. 0 for all.
        adopt: Go on where an earlier installation of the site has its backups.

    Raises:
        EnvironmentProblem: Another backup is being taken, the site is being restored, the backups
            there are another's, or a store refuses.
    """
    began = time.time()
    installation = installation_of(cluster)
    require_alone(cluster)
    require_settled(cluster)
    _require_followed(vault, source, installation, adopt=adopt)
    files = sorted(dumps.iterdir()) if dumps.is_dir() else []
    kept = {one.name: vault.keep(one) for one in files}
    served = tuple(_served(cluster))
    unfinished = tuple(active_runs(cluster))

    def finished(held: list[Held], copied: int) -> Backup:
        return Backup(
            name=datetime.fromtimestamp(began, UTC).strftime(_NAME),
            store=source.url,
            installation=installation,
            began=began,
            seconds=time.time() - began,
            objects=len(held),
            size=sum(one.size for one in held),
            copied=copied,
            versions=dict(site.versions),
            dumps=kept,
            served=served,
            unfinished=unfinished,
        )

    made = copying.save(source, vault, finished, _say)
    vault.admit(installation)
    for gone in vault.prune(keep) if keep else ():
        _say(f"removed the backup {gone}: {keep} are kept")
    return made


def fetch(vault: Vault, backup: Backup, dumps: Path) -> list[str]:
    """Put the databases' dumps into a folder, and return their names."""
    dumps.mkdir(parents=True, exist_ok=True)
    for name, content in backup.dumps.items():
        vault.fetch(content, dumps / name)
    return sorted(backup.dumps)


def require_fitting(backup: Backup, site: Site) -> None:
    """See that a backup can be this site's.

    Raises:
        EnvironmentProblem: Its records name objects of another store, or its databases are those
            of newer programs.
    """
    if backup.store != site.store.url.rstrip("/"):
        raise EnvironmentProblem(
            f"The backup is of {backup.store}, and its records name what lies there.",
            where=f"this site's store: {site.store.url}",
            hint=f"give the site that store: --set store.url={backup.store}",
        )
    for what in ("mlflow", "kfp"):
        theirs, ours = backup.versions.get(what, ""), site.versions.get(what, "")
        if theirs and ours and _order(ours) < _order(theirs):
            raise EnvironmentProblem(
                f"The backup's {what} is {theirs}, and this site's images hold {ours}, which does "
                "not know such a database.",
                hint="upgrade the site to images at least as new, and restore then",
            )


def installation_of(cluster: Cluster) -> str:
    """What tells this installation of a site from one that was there before."""
    found = cluster.get("configmaps", CONFIG_MAP)
    assert found is not None, "whoever asks has read the site there"
    return str(found["metadata"]["uid"])


def require_alone(cluster: Cluster) -> None:
    """See that nobody else writes to the place for backups or to the site's databases.

    Raises:
        EnvironmentProblem: A backup is being taken, or the site restored.
    """
    mine = os.environ.get(_HOSTNAME, "")
    others = [
        one["metadata"]["name"]
        for one in cluster.list("pods", f"{CHORE} in (save,put)")
        if one.get("status", {}).get("phase") in _ACTIVE and one["metadata"]["name"] != mine
    ]
    if others:
        raise EnvironmentProblem(
            f"Another pod takes a backup or restores: {others[0]}.",
            where=cluster.where,
            hint="wait until it has ended; what it writes, two would spoil for each other",
        )


def require_settled(cluster: Cluster) -> None:
    """See that the site is not half of what it was.

    Raises:
        EnvironmentProblem: It is being restored.
    """
    for one in cluster.list("deployments", STATEFUL):
        if REPLICAS in (one["metadata"].get("annotations") or {}):
            raise EnvironmentProblem(
                "The site is being restored, or a restoration was cut short.",
                where=cluster.where,
                hint="finish it: headrace restore BACKUP",
            )


def active_runs(cluster: Cluster) -> list[str]:
    """The runs that are at work, or wait for room or for their turn."""
    found = set()
    for pod in cluster.list("pods"):
        marks = pod["metadata"].get("labels", {})
        run = marks.get(_OF_KFP) or marks.get(labels.RUN)
        serves = marks.get(labels.ROLE) == offers.ROLE
        if run and not serves and pod.get("status", {}).get("phase") in _ACTIVE:
            found.add(run)
    for job in cluster.list("jobs", labels.RUN):  # in a queue it has no pod yet
        if not {one["type"] for one in job.get("status", {}).get("conditions") or []} & _OVER:
            found.add(job["metadata"]["labels"][labels.RUN])
    # Between two of its steps a run of KFP's has no pod; whose account may not look, cannot tell.
    with suppress(Forbidden, NotThere):
        for one in cluster.list("workflows"):
            if not one.get("status", {}).get("finishedAt"):
                found.add(one["metadata"].get("labels", {}).get(_OF_KFP, one["metadata"]["name"]))
    return sorted(found)


def _served(cluster: Cluster) -> list[dict[str, Any]]:
    return [
        {
            "model": one.name, "version": one.version, "alias": one.alias, "run": one.run,
            **asdict(deployed.scale_now(cluster, one)),
        }
        for one in deployed.running(cluster)
    ]  # fmt: skip


def _require_followed(vault: Vault, source: Store, installation: str, *, adopt: bool) -> None:
    names = vault.names()
    theirs = vault.load(names[-1]).store if names else source.url
    if theirs != source.url:
        raise EnvironmentProblem(
            f"The backups there are of {theirs}, not of {source.url}.",
            where=vault.store.url,
            hint="give this site a prefix of its own in backup.to",
        )
    if not (adopt or vault.knows(installation)):
        raise EnvironmentProblem(
            "The backups there are of a site that was here before, and in time they would be "
            "removed for those of this one.",
            where=vault.store.url,
            hint="`headrace restore` makes this site what that one was; `headrace backup --adopt` "
            "begins anew",
        )


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
