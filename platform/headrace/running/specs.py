"""From an attempt at a step to what its pod must be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.authoring.components import read_program
from headrace.data.store import Store
from headrace.running import jobs, overrides
from headrace.running.leaf import Leaf
from headrace.running.manifests import PodSpec
from headrace.running.place import Attempt
from headrace.running.placeholders import command_line
from headrace.running.resources import resources_of
from headrace.running.session import Session
from headrace.sites.cluster import Site

_KINDS = {"spark": "spark", "ray": "ray"}
_PLAIN_IMAGE = "python:3."
"""How the image begins that KFP's compiler writes where a component names none."""


def kind_of(engine: str) -> str:
    """The kind of image and defaults that an engine's steps have."""
    return _KINDS.get(engine, "python")


@dataclass(frozen=True, kw_only=True)
class Specs:
    """Describes the pods of one run."""

    session: Session
    """The run."""
    site: Site
    """The site."""
    store: Store
    """Its store."""
    workspace: str
    """The claim of the volume that the run's steps share; empty if they share none."""

    def of(self, attempt: Attempt, folder: str) -> PodSpec:
        """The pod of an attempt whose files in the store are in `folder`."""
        leaf, session = attempt.leaf, self.session
        container = session.executor(leaf.label)["container"]
        program = read_program(container)
        kind = kind_of(attempt.engine)
        variables = {one["name"]: one.get("value", "") for one in container.get("env", [])}
        variables.pop("HEADRACE_CODE", None)
        named = container["image"]
        own = program is not None and not named.startswith("headrace/")
        ours = self.site.images.get(named.removeprefix("headrace/")) or self.site.images[kind]
        settings = overrides.read(session.kubernetes(leaf.label), leaf.around.parameters)
        return PodSpec(
            run=session.run_id,
            step=leaf.path,
            pipeline=session.compiled.name,
            code=session.compiled.code_digest,
            attempt=attempt.number,
            kind=kind,
            image=named if own else ours,
            folder=folder,
            checkpoints=self._checkpoints(leaf),
            command=self._command(attempt, container) if attempt.engine == "container" else (),
            command_image=named,
            environment=variables,
            resources=resources_of(container, self.site.resources(kind)),
            overrides=settings,
            workspace=self.workspace,
            trusted=kind != "python"
            or (program is not None and program.target.startswith("headrace.")),
        )

    def image_note(self, attempt: Attempt) -> str:
        """What to say where a step runs in another image than its component names.

        A function whose source KFP carries needs KFP, and nothing is installed at run time.
        """
        container = self.session.executor(attempt.leaf.label)["container"]
        plain = jobs.is_lightweight(container) and read_program(container) is None
        if plain and not container["image"].startswith(_PLAIN_IMAGE):
            return f"runs in the site's python image; the image {container['image']} is not used"
        return ""

    def _command(self, attempt: Attempt, container: Mapping[str, Any]) -> tuple[str, ...]:
        words = [*container.get("command", []), *container.get("args", [])]
        leaf = attempt.leaf
        run = self.session.placeholders(leaf.path.rpartition("/")[0], leaf.task_name)
        given = jobs.pod_job(self.session, attempt, self.root_of(attempt))["executor_input"]
        return tuple(command_line(words, run, given))

    def root_of(self, attempt: Attempt) -> str:
        """The URI below which an attempt's outputs go: no other attempt has written there."""
        suffix = "" if attempt.number == 1 else f".attempt-{attempt.number}"
        return f"{self.session.place.root}/{attempt.leaf.path}{suffix}"

    def _checkpoints(self, leaf: Leaf) -> str:
        if self.session.use_cache and leaf.cached:
            return self.store.uri("checkpoints", jobs.fingerprint_of(self.session, leaf))
        return self.store.uri("runs", self.session.run_id, "checkpoints", leaf.path)
