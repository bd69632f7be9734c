"""Backups of a site's store in another store, where each content lies once.

    TO/objects/ab/abcd…              a content, named by its SHA-256
    TO/backups/NAME/contents.jsonl   what lay where
    TO/backups/NAME/backup.json      written last: without it there was no backup
    TO/installations/UID             of a site whose backups these are

A backup after the first one therefore copies only what is new, and what is put back is known to be
what was taken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from headrace.core.errors import EnvironmentProblem, did_you_mean
from headrace.data.digests import file_digest
from headrace.data.store import KEY_VARIABLE, SECRET_VARIABLE, Store, store_of
from headrace.sites.cluster import StoreSettings

OWNER = "site.json"
"""What says whose a store is, at its root; in no backup, for it is of the cluster."""
KEYS = ("BACKUP_ACCESS_KEY_ID", "BACKUP_SECRET_ACCESS_KEY")
"""The variables with the keys of the store that backups go to."""
_SUMMARY, _CONTENTS = "backup.json", "contents.jsonl"
_RETRY_SECONDS = 180


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """An object of the site's store at the time of the backup."""

    path: str
    """Its path below the store's URL."""
    size: int
    """Bytes."""
    etag: str
    """The tag that the site's store had given it."""
    sha256: str
    """Its content."""


@dataclass(frozen=True, kw_only=True)
class Backup:
    """What is known of a backup."""

    name: str
    """Its name: when its copying began, in UTC, as `20261127-204200`."""
    store: str
    """The URL of the store that it is of. Records name objects by it."""
    installation: str
    """Which installation of the site it is of: a site that is made anew is another one."""
    began: float
    """When its copying began, in Unix seconds. The databases are as they were just before."""
    seconds: float
    """How long it took."""
    objects: int
    """How many objects the store had."""
    size: int
    """Their bytes."""
    copied: int
    """How many bytes of those no earlier backup had."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """What the site's images held: `mlflow`, `kfp`, …"""
    dumps: Mapping[str, str] = field(default_factory=dict)
    """Databases: the dump's name and its content."""
    served: tuple[Mapping[str, Any], ...] = ()
    """The models that were served, and how."""
    unfinished: tuple[str, ...] = ()
    """Runs that were at work, and whose records end in the middle."""


@dataclass(frozen=True, kw_only=True)
class Vault:
    """Where the backups of one site are."""

    store: Store
    """The store that holds them."""

    def names(self) -> list[str]:
        """All backups that were finished, the oldest first."""
        listed = self.store.listing(self.store.uri("backups"))
        return sorted(one.partition("/")[0] for one in listed if one.endswith(f"/{_SUMMARY}"))

    def load(self, name: str) -> Backup:
        """What is known of a backup; of the latest one, if no name is given.

        Raises:
            EnvironmentProblem: There is none of that name.
        """
        known = self.names()
        chosen = name or (known[-1] if known else "")
        found = self.store.read(self._uri(chosen, _SUMMARY)) if chosen in known else None
        if found is None:
            raise EnvironmentProblem(
                f"There is no backup {name!r}." if name else "There is no backup.",
                where=self.store.url,
                hint=did_you_mean(name, known[-10:]) or "`headrace backup` makes one",
            )
        raw = json.loads(found)
        return Backup(
            **{**raw, "served": tuple(raw["served"]), "unfinished": tuple(raw["unfinished"])}
        )

    def knows(self, installation: str) -> bool:
        """Whether an installation may go on here: it has begun here, or has been restored."""
        return not self.names() or self.store.read(self._mark(installation)) is not None

    def admit(self, installation: str) -> None:
        """Let an installation's backups follow those that are there."""
        self.store.write(self._mark(installation), b"")

    def contents(self, name: str) -> list[Held]:
        """The objects that a backup holds."""
        found = self.store.read(self._uri(name, _CONTENTS)) or b""
        return [Held(**json.loads(line)) for line in found.splitlines()]

    def check(self, backup: Backup) -> list[Held]:
        """See that all that a backup needs is there, and return what it holds.

        Raises:
            EnvironmentProblem: Something is missing, or of another size.
        """
        contents = self.contents(backup.name)
        there = self.kept()
        lacking = [one.path for one in contents if there.get(one.sha256) != one.size]
        lacking += [name for name, content in backup.dumps.items() if content not in there]
        if lacking or len(contents) != backup.objects:
            raise EnvironmentProblem(
                f"The backup {backup.name} is not whole: it lacks {len(lacking)} of "
                f"{backup.objects} objects"
                + (f", such as {lacking[0]}." if lacking else " in its list."),
                where=self.store.url,
                hint=f"take another one: {', '.join(self.names()[-5:])}",
            )
        return contents

    def keep(self, file: Path) -> str:
        """Keep a file, and return its content's name."""
        name = file_digest(file)
        self.store.upload(file, self.uri_of(name))
        return name

    def fetch(self, content: str, target: Path) -> None:
        """Fetch a content into a file."""
        self.store.download(self.uri_of(content), target)
        require_whole(file_digest(target), content, target.name)

    def finish(self, backup: Backup, held: list[Held]) -> None:
        """Write down what a backup holds, and last of all that there is one."""
        lines = "".join(f"{json.dumps(asdict(one))}\n" for one in held)
        self.store.write(self._uri(backup.name, _CONTENTS), lines.encode())
        self.store.write(self._uri(backup.name, _SUMMARY), json.dumps(asdict(backup)).encode())

    def prune(self, keep: int) -> list[str]:
        """Remove all but the latest backups, and contents that none of those holds."""
        names = self.names()
        gone = names[: max(0, len(names) - keep)]
        if not gone:
            return []
        for name in gone:  # its summary first: half of a backup is none
            self.store.remove([self._uri(name, _SUMMARY)])
            self.store.remove([self._uri(name, _CONTENTS)])
        held = {one.sha256 for name in names[len(gone) :] for one in self.contents(name)}
        held |= {one for name in names[len(gone) :] for one in self.load(name).dumps.values()}
        self.store.remove(self.uri_of(one) for one in self.kept().keys() - held)
        return gone

    def kept(self) -> dict[str, int]:
        """The contents that are kept, and their sizes."""
        listed = self.store.listing(self.store.uri("objects"))
        return {path.rpartition("/")[2]: one.size for path, one in listed.items()}

    def uri_of(self, name: str) -> str:
        """Where a content is kept."""
        return self.store.uri("objects", name[:2], name)

    def _mark(self, installation: str) -> str:
        return self.store.uri("installations", installation)

    def _uri(self, name: str, file: str) -> str:
        return self.store.uri("backups", name, file)


def backup_store(url: str, endpoint: str, region: str, *, patience: int = _RETRY_SECONDS) -> Store:
    """The store that backups go to, with its keys from the environment."""
    settings = StoreSettings(url=url, endpoint=endpoint, region=region)
    keys = (os.environ.get(one, "") for one in KEYS)
    credentials = dict(zip((KEY_VARIABLE, SECRET_VARIABLE), keys, strict=True))
    return store_of(settings, credentials=credentials, patience=patience)


def require_apart(vault: Store, store: Store) -> None:
    """See that backups do not lie among what they are of, nor that among them.

    Raises:
        EnvironmentProblem: They do: a restoration would take them for what came later.
    """
    inner, outer = f"{vault.url}/", f"{store.url}/"
    same = vault.endpoint == store.endpoint
    if same and (inner.startswith(outer) or outer.startswith(inner)):
        raise EnvironmentProblem(
            "The place for backups and the store lie within each other.",
            where=[vault.url, store.url],
            hint="give backups a bucket, or a prefix, of their own in backup.to",
        )


def require_whole(found: str, wanted: str, what: str) -> None:
    """See that a content is what it is called by.

    Raises:
        EnvironmentProblem: It is another one.
    """
    if found != wanted:
        raise EnvironmentProblem(
            f"What the backup holds of {what} is damaged: its content is another than it was.",
            hint="take another backup: `headrace backup --list` shows those there are",
        )
