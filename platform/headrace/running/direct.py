"""A cluster as the place where steps run, driven from here: a Job with one pod per attempt.

The client may go away at any time. A Job's name follows from its run, step and attempt, and
its pod leaves the result in the store, so whoever drives the run next finds both.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

from headrace.cluster import errors, labels
from headrace.cluster.client import Cluster, Manifest
from headrace.cluster.watch import PodWatch
from headrace.compiling.bundle import Bundle
from headrace.core.errors import HeadraceError, StepFailed
from headrace.core.states import State
from headrace.data.store import Store
from headrace.executing import code
from headrace.executing.pod import JOB_FILE, RESULT_FILE
from headrace.executing.surroundings import step_folder
from headrace.running import finished, importer, jobs, manifests, recording
from headrace.running.artifacts import Artifact, Outputs
from headrace.running.evidence import describe_end, keep_evidence
from headrace.running.following import Following
from headrace.running.manifests import PodSpec
from headrace.running.place import Attempt, Broken
from headrace.running.reuse import Earlier
from headrace.running.session import Session
from headrace.running.specs import Specs
from headrace.sites import journal
from headrace.sites.cluster import Site


class DirectPlace:
    """The pods of one run on a cluster.

    Args:
        session: The run.
        cluster: Where its pods are.
        site: What the site there says.
        store: The site's store, as it is reached from here.
        resumed: Whether the run was begun by another client.
    """

    def __init__(
        self, session: Session, cluster: Cluster, site: Site, store: Store, *, resumed: bool
    ) -> None:
        self.session = session
        self.cluster = replace(cluster, on_wait=self._waits)
        self.site = site
        self.store = store
        self._resumed = resumed
        self._loop: asyncio.AbstractEventLoop | None = None
        self._followed: dict[str, Following] = {}
        self._selector = labels.selector(
            {**labels.MANAGED, labels.RUN: labels.value(session.run_id)}
        )
        self._silence = ""
        self.watch = PodWatch(self.cluster, self._selector, self._changed)
        self._open = ExitStack()
        self._told = False
        shared = session.compiled.workspace
        self._claim = shared and manifests.workspace_claim(
            session.run_id, session.compiled.name, shared
        )
        claim = self._claim["metadata"]["name"] if self._claim else ""
        self._specs = Specs(session=session, site=site, store=store, workspace=claim)

    @property
    def root(self) -> str:
        return self.store.uri("artifacts", self.session.run_id)

    @property
    def workspace(self) -> str:
        return manifests.WORKSPACE

    def environment_digest(self) -> str:
        images = json.dumps(dict(self.site.images), sort_keys=True)
        return hashlib.sha256(images.encode()).hexdigest()

    async def start(self) -> None:
        """Bring the code into the store, and begin to watch."""
        self._loop = asyncio.get_running_loop()
        if self.session.compiled.code is not None:
            await asyncio.to_thread(send_code, self.store, self.session.compiled.code)
        if self._claim is not None:
            await asyncio.to_thread(self._share_volume, self._claim)
        self.watch.start()

    async def close(self) -> None:
        """Remove what is left of the run on the cluster."""
        self.watch.stop()
        await asyncio.to_thread(self._keep_journal)
        with suppress(errors.ClusterProblem):
            await asyncio.to_thread(self._sweep)
        self._open.close()

    async def record(self) -> Any:
        return await recording.begin(self.session.folder, self.cluster, self.site, self._open)

    def find_earlier(self, key: str) -> Earlier | None:
        entry = _parsed(self.store.read(self.store.uri("cache", f"{key}.json")))
        if entry is None or entry.get("fingerprint") != key:
            return None
        try:
            outputs = Outputs.from_dict(entry["outputs"])
        except (KeyError, TypeError, AttributeError):  # another version's, or nobody's
            return None
        if not all(self._whole(one) for some in outputs.artifacts.values() for one in some):
            return None
        return Earlier(run=str(entry["run"]), outputs=outputs)

    def import_artifact(self, spec: Mapping[str, Any], attempt: Attempt) -> Outputs:
        found = importer.run(spec, attempt.leaf.inputs)
        (artifact,) = found.artifacts["artifact"]
        if artifact.path is not None:
            # A path of this machine means nothing to a pod: its content goes along.
            name = (artifact.digest or "").removeprefix("sha256:")
            uri = self.store.uri("imports", name, artifact.path.name)
            if not self.store.listing(uri):
                attempt.note(f"{artifact.path} is uploaded to {uri}")
                self.store.upload(artifact.path, uri)
            artifact = Artifact(**{**vars(artifact), "uri": uri})
        if artifact.uri.startswith("s3://"):
            listing = self.store.known_digest(artifact.uri)
            if listing is None and self.store.holds(artifact.uri):
                raise StepFailed(f"There is nothing to import at {artifact.uri!r}.")
            changed = {"listing": listing, "digest": artifact.digest or listing}
            artifact = Artifact(**{**vars(artifact), **changed})
        return Outputs(artifacts={"artifact": [artifact]})

    async def attempt(self, attempt: Attempt) -> Outputs:
        """One attempt, from its Job to its outputs in the cache."""
        run, step = self.session.run_id, attempt.leaf.path
        folder = step_folder(self.store, run, step, attempt.number)
        result = await asyncio.to_thread(self._ended_before, folder) if self._resumed else None
        spec = self._specs.of(attempt, folder)
        if not self._told:
            self._told = True
            await asyncio.to_thread(self._keep_journal)
        if result is None:
            if note := self._specs.image_note(attempt):
                attempt.note(note)
            await asyncio.to_thread(self._begin, spec, attempt)
            result = await self._follow(spec, attempt)
        if result["state"] != State.SUCCEEDED:
            raise Broken(self._with_log(result["error"], attempt))
        outputs = self._outputs(result, attempt)
        await asyncio.to_thread(self._keep, attempt, outputs)
        return outputs

    def _with_log(self, error: dict[str, Any], attempt: Attempt) -> dict[str, Any]:
        """An error that also says where all is that the step has printed."""
        log = self.session.folder / attempt.log
        return {**error, "where": [*error["where"], str(log)]} if log.exists() else error

    def stop_servers(self) -> None:
        """A roll-out that is cancelled undoes itself; a served model stays."""

    def _keep_journal(self) -> None:
        """Put the run's journal into the store, where others see how it began and ended."""
        with suppress(HeadraceError, OSError):  # the one here is what counts
            content = (self.session.folder / journal.FILE).read_bytes()
            self.store.write(self.store.uri("runs", self.session.run_id, journal.FILE), content)

    def _begin(self, spec: PodSpec, attempt: Attempt) -> None:
        """Make the attempt's Job, unless it is there."""
        if self._resumed and self.cluster.get("jobs", spec.name):
            attempt.note("picked up: its pod has gone on meanwhile")
            return
        job = jobs.pod_job(self.session, attempt, self._specs.root_of(attempt))
        if attempt.engine == jobs.OURS:  # what it registers is to say where it comes from
            told = ("run_started", "step_finished")
            events = journal.read_events(self.session.folder)
            job["history"] = [one for one in events if one["type"] in told]
        self.store.write(f"{spec.folder}/{JOB_FILE}", json.dumps(job).encode())
        self.cluster.create(manifests.step_job(spec, self.site))

    async def _follow(self, spec: PodSpec, attempt: Attempt) -> dict[str, Any]:
        """The result of an attempt whose Job is under way."""
        assert self._loop is not None
        following = Following(
            cluster=self.cluster, site=self.site, loop=self._loop, job=spec.name,
            container=manifests.USER_CONTAINER if spec.command else manifests.STEP_CONTAINER,
            attempt=attempt, log=self.session.folder / attempt.log,
            result=lambda: _parsed(self.store.read(f"{spec.folder}/{RESULT_FILE}")),
        )  # fmt: skip
        self._followed[spec.name] = following
        if pod := self.watch.of_job(spec.name):
            following.changed(pod, deleted=False)
        try:
            result = await following.to_its_end()
            if result is None or result["state"] == State.CANCELLED:
                result = await asyncio.to_thread(describe_end, self.cluster, following, result)
            if result["state"] != State.SUCCEEDED:
                await asyncio.to_thread(
                    keep_evidence, self.cluster, self.store, spec.folder, following,
                    self.session.folder,
                )  # fmt: skip
        finally:
            self._followed.pop(spec.name, None)
            # Whatever has become of the step, or if the run is cancelled: nothing stays.
            await asyncio.shield(asyncio.to_thread(self._remove, spec.name))
        return result

    def _changed(self, pod: Manifest, deleted: bool) -> None:
        """A pod of the run has changed: told by the watch's thread."""
        job = str(pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-name", ""))
        if following := self._followed.get(job):
            following.changed(pod, deleted=deleted)

    def _waits(self, text: str) -> None:
        """The cluster does not answer, or does again: several threads may find that out."""
        if text != self._silence:
            self._silence = text
            for following in tuple(self._followed.values()):
                following.note(text)

    def _remove(self, job: str) -> None:
        with suppress(errors.ClusterProblem):  # the sweep at the run's end tries again
            self.cluster.delete("jobs", job)

    def _sweep(self) -> None:
        self.cluster.delete_all("jobs", self._selector)
        if self._claim is not None:
            self.cluster.delete_all("persistentvolumeclaims", self._selector)

    def _share_volume(self, claim: Manifest) -> None:
        """Ask for the volume that the steps share, unless an earlier client has."""
        if self.cluster.get("persistentvolumeclaims", claim["metadata"]["name"]) is None:
            self.cluster.create(claim)

    def _ended_before(self, folder: str) -> dict[str, Any] | None:
        """A result that an earlier client did not wait for; none of a step that was cancelled."""
        found = _parsed(self.store.read(f"{folder}/{RESULT_FILE}"))
        return found if found and found["state"] != State.CANCELLED else None

    def _outputs(self, result: Mapping[str, Any], attempt: Attempt) -> Outputs:
        component = attempt.leaf.component
        parameters = finished.parameters(
            component, result["parameters"], result["files"],
            log=str(self.session.folder / attempt.log),
        )  # fmt: skip
        artifacts = {}
        for name, planned in jobs.planned_artifacts(
            component, self._specs.root_of(attempt)
        ).items():
            artifacts[name] = [Artifact(**{**vars(planned), **result["artifacts"].get(name, {})})]
        return Outputs(parameters=parameters, artifacts=artifacts)

    def _keep(self, attempt: Attempt, outputs: Outputs) -> None:
        entry = {
            "run": self.session.run_id, "step": attempt.leaf.path, "fingerprint": attempt.key,
            "outputs": outputs.to_dict(),
        }  # fmt: skip
        self.store.write(self.store.uri("cache", f"{attempt.key}.json"), json.dumps(entry).encode())

    def _whole(self, artifact: Artifact) -> bool:
        if artifact.listing is None:
            return True
        return self.store.digest(artifact.uri) == artifact.listing


def send_code(store: Store, bundle: Bundle) -> None:
    """Put a code bundle into the store, unless it is there."""
    uri = code.uri_of(store, bundle.digest)
    if not store.listing(uri):
        store.write(uri, bundle.zipped())


def _parsed(content: bytes | None) -> dict[str, Any] | None:
    try:
        found = json.loads(content) if content else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
