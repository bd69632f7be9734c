"""The object store of a site: objects and folders of them by URI, `s3://BUCKET/KEY`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from headrace.core.errors import EnvironmentProblem
from headrace.data import refusals
from headrace.sites.cluster import StoreSettings

KEY_VARIABLE = "AWS_ACCESS_KEY_ID"
SECRET_VARIABLE = "AWS_SECRET_ACCESS_KEY"
_EMPTY = ".empty-folder"
"""The name of the object that stands for a folder with nothing in it: a store has no folders.
What begins with a dot is passed over by those who read tables."""
_AT_ONCE = 8
_REMOVED_AT_ONCE = 1000
_RETRY_SECONDS = 180
_PROBE_RETRY_SECONDS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One object below a URI."""

    size: int
    """Bytes."""
    etag: str
    """The store's own tag of the content; the same content written alike has the same."""
    modified: float
    """When it was written, in Unix seconds."""


@dataclass(frozen=True, kw_only=True)
class Store:
    """An S3 service, and the part of it that is the site's."""

    url: str
    """Bucket and prefix of the site."""
    endpoint: str
    """The service's address; empty for AWS's own."""
    region: str
    """The bucket's region."""
    key: str = ""
    """Access key; empty where the surroundings supply credentials."""
    secret: str = ""
    """Its secret."""
    patience: int = _RETRY_SECONDS
    """Seconds for which a store that does not answer is asked again."""

    def __repr__(self) -> str:
        return f"Store({self.url!r}, endpoint={self.endpoint!r})"

    def uri(self, *parts: str) -> str:
        """The URI of a key below the site's prefix."""
        return "/".join([self.url.rstrip("/"), *parts])

    def read(self, uri: str) -> bytes | None:
        """An object's content, or None if there is none."""
        import obstore

        bucket, key = self._at(uri)
        with self._errors(uri):
            try:
                return bytes(obstore.get(bucket, key).bytes())
            except FileNotFoundError as error:
                _require_bucket(error)
        return None

    def write(self, uri: str, content: bytes) -> None:
        """Put an object there, whole or not at all."""
        import obstore

        bucket, key = self._at(uri)
        with self._errors(uri):
            obstore.put(bucket, key, content)

    def listing(self, uri: str) -> dict[str, Entry]:
        """The objects of an artifact by their path below `uri`; a lone object's path is empty.

        Marks that stand for folders are left out.
        """
        entries = self._entries(uri)
        folders = _folders(entries)
        return {
            path: one for path, one in entries.items() if one.size or _named(path) not in folders
        }

    def folder_marks(self, uri: str) -> list[str]:
        """The keys of empty objects that stand for folders, as writers such as Spark leave them."""
        entries = self._entries(uri)
        marks = sorted(_folders(entries).intersection(map(_named, entries)))
        _, key = self._at(uri)
        return [f"{key}/" if one == "." else f"{key}/{one}/" for one in marks]

    def _entries(self, uri: str) -> dict[str, Entry]:
        import obstore

        bucket, key = self._at(uri)
        with self._errors(uri):
            # By whole parts of the key: what lies at the key itself is not among them.
            found = [one for batch in obstore.list(bucket, prefix=key) for one in batch]
            if not found:
                with suppress(FileNotFoundError):
                    found = [obstore.head(bucket, key)]
        return {str(one["path"])[len(key) :].lstrip("/"): _entry(one) for one in found}

    def folders(self, uri: str) -> list[str]:
        """The names of what lies directly below `uri` and has something below itself."""
        import obstore

        bucket, key = self._at(uri)
        with self._errors(uri):
            found = obstore.list_with_delimiter(bucket, prefix=key)
        return sorted(str(one).rstrip("/").rpartition("/")[2] for one in found["common_prefixes"])

    def digest(self, uri: str) -> str | None:
        """A digest over names, sizes and tags of what lies at `uri`; None if nothing does."""
        return digest_of(self.listing(uri))

    def known_digest(self, uri: str) -> str | None:
        """The same, and None as well for what is outside of the site's bucket and out of reach."""
        try:
            return self.digest(uri)
        except EnvironmentProblem:
            if self.holds(uri):
                raise
            return None

    def holds(self, uri: str) -> bool:
        """Whether a URI is one of the site's own bucket."""
        return _parts(uri)[0] == _parts(self.url)[0]

    def upload(self, path: Path, uri: str) -> None:
        """Put a file, or every file of a folder, below `uri`; its empty folders are marked."""
        files = {"": path} if path.is_file() else _files(path)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda one: self._put(one[1], _below(uri, one[0])), files.items()))
            if path.is_dir():
                marks = _marks_of_empty_folders(path)
                list(pool.map(lambda mark: self.write(_below(uri, mark), b""), marks))

    def download(self, uri: str, path: Path) -> bool:
        """Fetch an object or folder to `path`. False if there is nothing."""
        entries = self.listing(uri)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda one: self._get(_below(uri, one), path / one), entries))
        return bool(entries)

    def obtain(self, uri: str, path: Path) -> str:
        """Fetch what a step reads, and say why not if it is outside of the site's bucket and out
        of reach: the step may well want no more than its URI.
        """
        try:
            self.download(uri, path)
        except EnvironmentProblem as problem:
            if self.holds(uri):
                raise
            return problem.what
        return ""

    def delete(self, uri: str) -> int:
        """Remove an object, or all below `uri`, and return how many there were."""
        import obstore

        bucket, _ = self._at(uri)
        keys = [self._at(_below(uri, one))[1] for one in self.listing(uri)]
        with self._errors(uri):
            if keys:
                obstore.delete(bucket, keys)
        return len(keys)

    def remove(self, uris: Iterable[str]) -> None:
        """Remove objects by their exact URIs, and nothing that lies below them."""
        import obstore

        wanted = list(uris)
        for begin in range(0, len(wanted), _REMOVED_AT_ONCE):
            some = wanted[begin : begin + _REMOVED_AT_ONCE]
            bucket, _ = self._at(some[0])
            with self._errors(some[0]):
                obstore.delete(bucket, [self._at(one)[1] for one in some])

    def _put(self, file: Path, uri: str) -> None:
        import obstore

        bucket, key = self._at(uri)
        with self._errors(uri):
            obstore.put(bucket, key, file)

    def _get(self, uri: str, target: Path) -> None:
        import obstore

        bucket, key = self._at(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.name == _EMPTY:
            return
        with self._errors(uri), target.open("wb") as out:
            for chunk in obstore.get(bucket, key).stream():
                out.write(chunk)

    def _at(self, uri: str) -> tuple[Any, str]:
        name, key = _parts(uri)
        bucket = _bucket(name, self.endpoint, self.region, self.key, self.secret, self.patience)
        return bucket, key

    @contextmanager
    def _errors(self, uri: str) -> Iterator[None]:
        from obstore import exceptions

        where = [uri, *([f"S3 at {self.endpoint}"] if self.endpoint else [])]
        bucket = _parts(uri)[0]
        try:
            yield
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise refusals.refused(str(error), where) from error
        except (FileNotFoundError, exceptions.BaseError) as error:
            if "NoSuchBucket" in str(error):
                raise refusals.no_bucket(bucket, where) from error
            raise refusals.refused(str(error), where) from error


def store_of(
    settings: StoreSettings,
    *,
    outside: bool = False,
    credentials: Mapping[str, str] | None = None,
    patience: int = _RETRY_SECONDS,
) -> Store:
    """The store that a site's settings describe.

    Args:
        settings: The site's.
        outside: Whether this process is outside of the cluster.
        credentials: The Secret's content; the environment's variables unless given.
        patience: Seconds for which a store that does not answer is asked again.
    """
    known = os.environ if credentials is None else credentials
    endpoint = (settings.client_endpoint or settings.endpoint) if outside else settings.endpoint
    return Store(
        url=settings.url.rstrip("/"),
        endpoint=endpoint,
        region=settings.region,
        key=known.get(KEY_VARIABLE, ""),
        secret=known.get(SECRET_VARIABLE, ""),
        patience=patience,
    )


def local_path(uri: str) -> Path:
    """Where KFP puts an artifact on a pod's disk: `s3://BUCKET/KEY` is `/s3/BUCKET/KEY`."""
    return Path(f"/{uri.partition('://')[0]}").joinpath(*_parts(uri))


def _parts(uri: str) -> tuple[str, str]:
    """Bucket and key. A key may have in it what ends the path of other URLs.

    >>> _parts("s3://bucket/plots/a#1?.png"), _parts("s3://bucket")
    (('bucket', 'plots/a#1?.png'), ('bucket', ''))
    """
    bucket, _, key = uri.partition("://")[2].partition("/")
    return bucket, key.lstrip("/")


def digest_of(entries: Mapping[str, Entry]) -> str | None:
    """A digest over objects' names, sizes and tags; None of nothing."""
    if not entries:
        return None
    whole = hashlib.sha256()
    for name, one in sorted(entries.items()):
        whole.update(f"{name}\0{one.size}\0{one.etag}\n".encode())
    return f"listing:{whole.hexdigest()}"


@lru_cache(maxsize=32)
def _bucket(
    name: str, endpoint: str, region: str, key: str, secret: str, patience: int
) -> Any:  # an obstore.store.S3Store
    from obstore.store import S3Store

    options: dict[str, Any] = {"region": region}
    if endpoint:
        options |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
    if key:
        options |= {"access_key_id": key, "secret_access_key": secret}
    return S3Store(
        name,
        client_options={"allow_http": True, "timeout": "120s", "connect_timeout": "5s"},
        retry_config={
            "max_retries": 1000 if patience > _PROBE_RETRY_SECONDS else 2,
            "retry_timeout": timedelta(seconds=patience),
            "backoff": {
                "base": 2,
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=3),
            },
        },
        **options,
    )


def _folders(paths: Iterable[str]) -> set[str]:
    return {str(one) for path in paths if path for one in PurePosixPath(path).parents}


def _named(path: str) -> str:
    return path or "."


def _entry(found: Any) -> Entry:
    return Entry(
        size=found["size"],
        etag=str(found["e_tag"] or ""),
        modified=found["last_modified"].timestamp(),
    )


def _require_bucket(error: FileNotFoundError) -> None:
    if "NoSuchBucket" in str(error):
        raise error


def _files(folder: Path) -> dict[str, Path]:
    return {
        file.relative_to(folder).as_posix(): file
        for place, _, names in os.walk(folder)
        for name in names
        if (file := Path(place) / name).is_file()
    }


def _marks_of_empty_folders(folder: Path) -> list[str]:
    return [
        (Path(place) / _EMPTY).relative_to(folder).as_posix()
        for place, folders, names in os.walk(folder)
        if not folders and not names
    ]


def _below(uri: str, path: str) -> str:
    return f"{uri}/{path}" if path else uri
