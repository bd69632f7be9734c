"""The door to Ray on a cluster, as the job on the head sees it: one training, start to end.

Ray Train's controller runs in an actor beside the job. Only that actor imports Ray Train and
none of the head's processes imports torch: on the way to the first step these seconds count.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from headrace.engines.ray import RaySpec

EXPERIMENT = "train"
"""The name under which Ray Train keeps checkpoints below a training's key."""
_DEPTH = 5
"""Folders in each other, at most, in a training's checkpoints."""
SNAPSHOT = "checkpoint_manager_snapshot.json"
"""What Ray Train remembers of a training's checkpoints."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One training."""

    spec: RaySpec
    """The workers."""
    loop: Callable[[dict[str, Any]], bytes | None]
    """What every worker runs; rank 0's bytes are the result. Found by its name on the workers."""
    given: dict[str, Any]
    """What the loop is called with."""
    checkpoints: str
    """`BUCKET/KEY` below which checkpoints are kept."""
    endpoint: str
    """The S3 service's address; empty for AWS's own."""
    region: str
    """The bucket's region."""
    events: Path
    """The file, on the head, into which the controller writes what happens."""
    began_with: int | None = None
    """The report of the checkpoint that is there already, if one is."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a training ended."""

    value: bytes | None = None
    """What rank 0's loop returned."""
    raised: Mapping[str, Any] | None = None
    """A description of what a worker's loop raised."""
    lost: Mapping[str, Any] | None = None
    """The worker whose loss was one too many: `rank`, `host`, `said`, `failures`."""
    broken: str = ""
    """What went wrong in Ray Train itself."""


class LoopRaised(Exception):
    """A worker's loop raised.

    Args:
        rank: The worker's.
        description: What `describe` made of the exception where it happened.
        at: When, in seconds since the epoch.
    """

    def __init__(self, rank: int, description: Mapping[str, Any], at: float) -> None:
        super().__init__(rank, description, at)
        self.rank, self.description, self.at = rank, description, at


def train(plan: Plan) -> Outcome:
    """Run a training on the cluster to which this process's head belongs."""
    import ray

    ray.init(address="auto", logging_level="warning")
    here = {ray._raylet.RAY_NODE_ID_KEY: ray.get_runtime_context().get_node_id()}
    actor = ray.remote(num_cpus=0, label_selector=here)(Controller)
    controller = actor.remote(plan)
    try:
        outcome: Outcome = ray.get(controller.run.remote())
    except ray.exceptions.RayActorError as error:
        return Outcome(broken=f"the controller died: {error}")
    return outcome


class Controller:
    """The actor on the head that leads the workers."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._controller: Any = None

    async def run(self) -> Outcome:
        """Lead the workers until training has ended."""
        os.environ["RAY_WARN_BLOCKING_GET_INSIDE_ASYNC"] = "0"
        from headrace.engines import ray_controller

        lead = ray_controller.lead(self._plan)
        self._controller = lead.controller
        await self._controller.run()
        return lead.outcome()

    async def get_all_reported_checkpoints(self, *asked: Any) -> Any:
        """What `ray.train` in the workers asks its controller for."""
        return await self._controller.get_all_reported_checkpoints(*asked)


def forget(checkpoints: str, endpoint: str, region: str) -> None:
    """Remove a training's checkpoints, and the marks that stand for their folders."""
    files = file_system(endpoint, region)
    for _ in range(_DEPTH):
        # A store that keeps folders as such removes one only once it is empty, and all are
        # asked for at once: each time the innermost go.
        with suppress(OSError):
            files.delete_dir(checkpoints)
            return


def file_system(endpoint: str, region: str) -> Any:
    """The store as Ray Train wants it. Credentials come from the environment of each pod."""
    import pyarrow.fs

    parsed = urlparse(endpoint)
    where = {"endpoint_override": parsed.netloc, "scheme": parsed.scheme} if endpoint else {}
    retries = pyarrow.fs.AwsStandardS3RetryStrategy(max_attempts=10)
    return pyarrow.fs.S3FileSystem(region=region, retry_strategy=retries, **where)


def this_rank() -> int:
    """The rank of the worker that this process is."""
    from ray.train import get_context

    return int(get_context().get_world_rank())


def pickled(value: Any) -> bytes:
    """A value as bytes for another process, classes and all that exist in this one alone."""
    from ray import cloudpickle

    whole: bytes = cloudpickle.dumps(value)
    return whole


@dataclass
class Events:
    """A file of what happens in a training: a JSON line each, numbered."""

    path: Path
    """The file."""
    count: int = field(default=0)
    """How many there are."""

    def tell(self, kind: str, **facts: Any) -> None:
        """Write one down."""
        self.count += 1
        with self.path.open("a") as out:
            out.write(json.dumps({"type": kind, "seq": self.count, **facts}) + "\n")


def read_events(path: Path, offset: int) -> Iterator[tuple[str, int]]:
    """Whole lines from an offset on, each with the offset behind it."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        lines.seek(offset)
        for line in lines:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield line.decode().rstrip("\n"), offset
