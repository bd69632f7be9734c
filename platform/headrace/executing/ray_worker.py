"""What every worker of a Ray step on a cluster runs, around the user's function."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import pickle
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from headrace.data.store import Store, local_path, store_of
from headrace.engines.ray_training import LoopRaised, pickled, this_rank
from headrace.executing import code, context, failures
from headrace.sites.cluster import parse

DONE = "::ray-done::"
"""The last line of each worker: whoever has seen it has seen all of the worker's lines."""
_LOG = 2**20
_PAUSE = 0.1
"""Seconds between two looks at an input that another worker fetches."""
_MAGIC = (b":job_id:", b":actor_name:", b":task_name:")


def loop(job: dict[str, Any]) -> bytes | None:
    """Fetch what the function needs, call it, and put away what it made.

    Args:
        job: `target`, `code`, `arguments` (as `packed`), `folder`, `threads`, `root`, `stays`.

    Returns:
        Rank 0's return value, its artifacts' new state and its output files, pickled.

    Raises:
        LoopRaised: The function raised, or what it needs is not there.
    """
    import torch

    rank = this_rank()
    store = site_store()
    torch.set_num_threads(job["threads"])
    try:
        with _own_lines(store, f"{job['folder']}/ray/rank-{rank}.log"):
            return _call(job, store, rank)
    except BaseException as error:
        raise LoopRaised(rank, failures.describe(error), time.time()) from None


def site_store() -> Store:
    """The store of the site that this process's environment names."""
    raw = json.loads(os.environ[context.SITE])
    return store_of(parse(raw, where=f"the environment variable {context.SITE}").store)


def _call(job: Mapping[str, Any], store: Store, rank: int) -> bytes | None:
    from kfp.dsl.types import artifact_types

    from headrace.executing import entry

    if job["code"]:
        code.enter(store, job["code"])
    artifact_types.CONTAINER_TASK_ROOT = job["root"]
    function = entry.find(job["target"])
    arguments = unpacked(job["arguments"])
    uses = Uses(function, arguments)
    with TemporaryDirectory(prefix="headrace-") as folder, ExitStack() as after:
        # The paths that KFP gives are the same in every run, and pods may outlive one.
        uses.files = {name: Path(folder, name) for name in uses.files}
        arguments |= {name: str(path) for name, path in uses.files.items()}
        with _inputs(store, uses.inputs, clear=job["stays"]):
            for path in uses.outputs.values():
                path.parent.mkdir(parents=True, exist_ok=True)
                if job["stays"] and rank == 0:
                    after.callback(remove, path)
            value = function(**arguments)
        if rank > 0:
            return None
        made = uses.outputs | {one.uri: Path(one.path) for one in _returned(value)}
        for uri, path in made.items():
            if uri.startswith("s3://") and path.exists():
                if job["stays"]:
                    after.callback(remove, path)
                store.upload(path, uri)
        files = {name: path.read_text() for name, path in uses.files.items() if path.exists()}
    state = {name: vars(one) for name, one in artifacts(arguments)}
    return pickled({"value": value, "artifacts": state, "files": files})


class Uses:
    """What a call reads and writes.

    Args:
        function: The user's function.
        arguments: What it is called with, as KFP's executor made it.
    """

    def __init__(self, function: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        self.inputs: dict[str, Path] = {}
        """The artifacts that it reads: where each lies, by URI."""
        self.outputs: dict[str, Path] = {}
        """The artifacts that it writes, likewise."""
        self.files: dict[str, Path] = {}
        """The files into which it writes parameters, by the parameter's name."""
        annotations = _annotations(function)
        for name, one in arguments.items():
            self._sort_in(name, one, annotations.get(name))

    def _sort_in(self, name: str, one: Any, annotation: Any) -> None:
        from kfp.dsl.types import type_annotations as kinds

        if isinstance(annotation, kinds.OutputPath) and isinstance(one, str):
            uri = _uri_of(one)
            if uri:
                self.outputs[uri] = Path(one)
            else:
                self.files[name] = Path(one)
        elif isinstance(annotation, kinds.InputPath) and isinstance(one, str):
            self.inputs |= {uri: Path(one)} if (uri := _uri_of(one)) else {}
        elif kinds.is_artifact_wrapped_in_Output(annotation) and one is not None:
            self.outputs[one.uri] = Path(one.path)
        else:
            listed = one if isinstance(one, list) else [one]
            self.inputs |= {each.uri: Path(each.path) for each in listed if is_artifact(each)}


def is_artifact(one: Any) -> bool:
    """Whether a value is an artifact of KFP's."""
    return hasattr(one, "metadata") and hasattr(one, "uri")


def artifacts(arguments: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The lone artifacts among a call's arguments."""
    return [(name, one) for name, one in arguments.items() if is_artifact(one)]


def packed(arguments: Mapping[str, Any]) -> str:
    """A call's arguments as a text: the very objects that KFP's executor made."""
    return base64.b64encode(pickle.dumps(dict(arguments))).decode()


def unpacked(text: str) -> Any:
    """What was packed: by this very run, into its own folder of the store."""
    return pickle.loads(base64.b64decode(text))  # noqa: S301


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _annotations(function: Callable[..., Any]) -> dict[str, Any]:
    from headrace.executing.annotations import resolved_signature

    parameters = resolved_signature(function, session=False).parameters
    return {name: one.annotation for name, one in parameters.items()}


def _uri_of(path: str) -> str:
    """The URI behind one of KFP's paths; empty if it is a path of this pod alone."""
    return f"s3://{path.removeprefix('/s3/')}" if path.startswith("/s3/") else ""


def _returned(value: Any) -> list[Any]:
    several = value if isinstance(value, tuple) else (value,)
    return [one for one in several if is_artifact(one)]


@contextmanager
def _inputs(store: Store, wanted: Mapping[str, Path], *, clear: bool) -> Iterator[None]:
    """Have input artifacts on this pod's disk, once for all workers in the pod.

    Args:
        store: The store.
        wanted: Where each belongs, by URI.
        clear: Whether they are removed once no worker in the pod uses them.
    """
    held = [_Held(store, uri, path) for uri, path in wanted.items() if uri.startswith("s3://")]
    try:
        for one in held:
            one.fetch()
        yield
    finally:
        for one in held:
            one.release(clear=clear)


class _Held:
    """An input on this pod's disk, with a lock that its users share."""

    def __init__(self, store: Store, uri: str, path: Path) -> None:
        self.store, self.uri, self.path = store, uri, path
        locks = local_path("s3://") / ".headrace"
        locks.mkdir(parents=True, exist_ok=True)
        key = hashlib.sha256(uri.encode()).hexdigest()[:16]
        self.there = locks / f"{key}.there"
        self.lock = os.open(locks / f"{key}.lock", os.O_RDWR | os.O_CREAT, 0o644)

    def fetch(self) -> None:
        """Download it unless it is there, and hold it.

        Whoever has it holds it for as long as the loop runs: a second worker of the same pod
        must never wait for the lock alone, only until the first has the input.
        """
        while True:
            fcntl.flock(self.lock, fcntl.LOCK_SH)
            if self.there.exists():
                return
            fcntl.flock(self.lock, fcntl.LOCK_UN)
            with suppress(BlockingIOError):
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not self.there.exists():
                    remove(self.path)
                    if why := self.store.obtain(self.uri, self.path):
                        print(f"{self.uri} is not fetched: {why}", file=sys.stderr)
                    self.there.touch()
                fcntl.flock(self.lock, fcntl.LOCK_SH)
                return
            time.sleep(_PAUSE)

    def release(self, *, clear: bool) -> None:
        """Hold it no more; whoever is the last removes it."""
        if clear:
            with suppress(BlockingIOError):
                fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.there.unlink(missing_ok=True)
                remove(self.path)
        os.close(self.lock)


@contextmanager
def _own_lines(store: Store, uri: str) -> Iterator[None]:
    """Print an exception where the worker's own lines are, and keep those lines as evidence."""
    try:
        yield
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        sys.stderr.flush()
        print(DONE, flush=True)
        with suppress(Exception):  # evidence: its lack must not hide how the loop ended
            store.write(uri, _printed())


def _printed() -> bytes:
    """What this process has printed: Ray lets both streams go to files."""
    parts = []
    for descriptor in (1, 2):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path.is_file():
            lines = path.read_bytes()[-_LOG:].splitlines(keepends=True)
            parts += [
                one for one in lines if not one.startswith(_MAGIC) and DONE.encode() not in one
            ]
    return b"".join(parts)
