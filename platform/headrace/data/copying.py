"""Between a site's store and the vault with its backups: what is new goes there, what was there
comes back.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from headrace.core.errors import EnvironmentProblem
from headrace.data.digests import file_digest
from headrace.data.store import Entry, Store
from headrace.data.vault import OWNER, Backup, Held, Vault, require_whole

POINTERS = ("cache", "runs")
"""Folders of a store whose objects name others. Those are written first, so these are listed first:
whatever they name is in the backup, too."""
_AT_ONCE = 8
_IN_HAND = 5000
_IN_MEMORY = 16 << 20
"""Bytes up to which an object is not written to disk on its way."""
_TELL_SECONDS = 10.0

Tell = Callable[[str], None]
T = TypeVar("T")
R = TypeVar("R")


def save(
    source: Store, vault: Vault, backup: Callable[[list[Held], int], Backup], tell: Tell
) -> Backup:
    """Copy what is new of a store, and finish a backup.

    Args:
        source: The site's store.
        vault: Where to.
        backup: Told what was held and how many bytes were copied, makes the summary.
        tell: Told how far it is.
    """
    entries = list(_entries(source))
    saving = _Saving(source, vault)
    progress = _Progress(len(entries), tell)

    def one(pair: tuple[str, Entry]) -> Held | None:
        held = saving.take(*pair)
        progress.step(pair[1].size)
        return held

    kept = [held for held in _many(one, entries) if held]
    made = backup(kept, saving.copied)
    vault.finish(made, kept)
    return made


def put_back(vault: Vault, backup: Backup, target: Store, tell: Tell) -> tuple[int, int]:
    """Make a store what it was: write what differs, then remove what was not there.

    Returns:
        How many objects were written, and how many removed.

    Raises:
        EnvironmentProblem: The backup is not whole, or a content is not what it was.
    """
    contents = vault.check(backup)
    now = target.listing(target.url)
    differing = [held for held in contents if not _is_there(held, now)]
    progress = _Progress(len(differing), tell)

    def one(held: Held) -> None:
        _write(vault, held, target)
        progress.step(held.size)

    for _ in _many(one, differing):
        pass
    extra = sorted(set(now) - {held.path for held in contents} - {OWNER})
    target.remove(target.uri(path) for path in extra)
    return len(differing), len(extra)


def _many(work: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """What comes of each item, several at a time; not all are in the hands of threads at once."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for begin in range(0, len(items), _IN_HAND):
            yield from pool.map(work, items[begin : begin + _IN_HAND])


class _Saving:
    """Takes object after object into the vault; any thread may have it take one."""

    def __init__(self, source: Store, vault: Vault) -> None:
        self._source, self._vault = source, vault
        names = vault.names()
        before = vault.contents(names[-1]) if names else []
        # With the same tag it has the same content.
        self._known = {(one.path, one.etag, one.size): one.sha256 for one in before}
        self._there = vault.kept()
        self._lock = threading.Lock()
        self.copied = 0
        """Bytes."""

    def take(self, path: str, entry: Entry) -> Held | None:
        """An object as it is now; None if it has gone since it was listed."""
        name = self._known.get((path, entry.etag, entry.size), "") if entry.etag else ""
        if name in self._there:
            return Held(path=path, size=entry.size, etag=entry.etag, sha256=name)
        with _spooled(self._source, self._source.uri(path), entry.size) as found:
            if found is None:
                self._require_gone(path)
                return None
            name, content, size = found
            if name not in self._there:
                _put(content, self._vault.store, self._vault.uri_of(name))
            with self._lock:
                # Two that have the same content may have copied it at once.
                self.copied += 0 if name in self._there else size
                self._there[name] = size
        # Written anew since it was listed, its tag says nothing.
        etag = entry.etag if size == entry.size else ""
        return Held(path=path, size=size, etag=etag, sha256=name)

    def _require_gone(self, path: str) -> None:
        uri = self._source.uri(path)
        if "" in self._source.listing(uri):
            raise EnvironmentProblem("The store lists an object and does not give it.", where=uri)


def _entries(source: Store) -> Iterator[tuple[str, Entry]]:
    """The store's objects, those that name others first."""
    for folder in POINTERS:
        for path, entry in source.listing(source.uri(folder)).items():
            yield f"{folder}/{path}", entry
    for path, entry in source.listing(source.url).items():
        # What points, and has come since, points to what may not be in the list.
        if path.partition("/")[0] not in POINTERS and path != OWNER:
            yield path, entry


def _is_there(held: Held, now: Mapping[str, Entry]) -> bool:
    found = now.get(held.path)
    same = found is not None and (found.etag, found.size) == (held.etag, held.size)
    return same and bool(held.etag)


def _write(vault: Vault, held: Held, target: Store) -> None:
    uri = vault.uri_of(held.sha256)
    with _spooled(vault.store, uri, held.size) as found:
        if found is None:
            raise EnvironmentProblem("A content has gone since it was looked for.", where=uri)
        name, content, _ = found
        require_whole(name, held.sha256, held.path)
        _put(content, target, target.uri(held.path))


def _put(content: bytes | Path, store: Store, uri: str) -> None:
    if isinstance(content, Path):
        store.upload(content, uri)
    else:
        store.write(uri, content)


@contextmanager
def _spooled(store: Store, uri: str, size: int) -> Iterator[tuple[str, bytes | Path, int] | None]:
    """An object's digest, content and size, or None: in memory if it is small, else as a file."""
    if size <= _IN_MEMORY:
        content = store.read(uri)
        digest = hashlib.sha256(content or b"").hexdigest()
        yield None if content is None else (digest, content, len(content))
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "content"
        found = store.download(uri, file)
        yield (file_digest(file), file, file.stat().st_size) if found else None


class _Progress:
    """Tells how far it is, every few seconds, and nothing of what is quick."""

    def __init__(self, total: int, tell: Tell) -> None:
        self._total, self._tell = total, tell
        self._done = self._bytes = 0
        self._last = time.monotonic()
        self._lock = threading.Lock()

    def step(self, size: int) -> None:
        """One more object is done."""
        with self._lock:
            self._done += 1
            self._bytes += size
            if time.monotonic() - self._last < _TELL_SECONDS:
                return
            self._last = time.monotonic()
            self._tell(f"{self._done} of {self._total} objects, {self._bytes / 1e9:.1f} GB")
