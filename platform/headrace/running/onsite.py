"""A run on a cluster, from a context's name to its last word."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from headrace.compiling import placing
from headrace.compiling.pipeline import Compiled
from headrace.core.errors import EnvironmentProblem, UsageError
from headrace.data.store import Store
from headrace.executing import code
from headrace.running import naming, plan
from headrace.running.direct import DirectPlace, send_code
from headrace.running.kubeflow.submission import Submission
from headrace.running.parameters import check_arguments
from headrace.running.results import RunResult
from headrace.running.resuming import unfinished
from headrace.running.run import Options, drive
from headrace.running.specs import kind_of
from headrace.running.target import Target, target
from headrace.sites import versions
from headrace.sites.cluster import Site
from headrace.sites.home import Home
from headrace.sites.journal import Event

_SIDE_BY_SIDE = 32


def run_on(
    compiled: Compiled,
    arguments: Mapping[str, Any],
    home: Home,
    *,
    context: str,
    namespace: str = "",
    direct: bool = False,
    use_cache: bool = True,
    from_step: str | None = None,
    jobs: int | None = None,
    on_event: Callable[[Event], None] | None = None,
    source: str = "",
    record: bool = True,
    resume: bool = True,
    name: str = "",
) -> RunResult:
    """Run a pipeline on a cluster: by its Kubeflow Pipelines, or driven from this process.

    A run of the same pipeline, code and arguments whose client is gone is picked up again.

    Args:
        compiled: The pipeline.
        arguments: Values of its parameters.
        home: Where the run's record and logs go here.
        context: The kubeconfig's context.
        namespace: The namespace; the context's own unless given.
        direct: Drive it from here, even if the site has Kubeflow Pipelines.
        use_cache: Whether earlier results may stand in.
        from_step: A step that is to run with all after it, whatever could be reused.
        jobs: How many steps may run at once.
        on_event: Told of every event of the journal.
        source: What the user typed for the pipeline.
        record: Whether the run is written into the site's MLflow.
        resume: Whether a run without a client may be picked up.
        name: What the run is called, once on this site; made up unless given.

    Raises:
        UsageError: A wrong context, argument or step, a name that is taken.
        EnvironmentProblem: The site cannot be used, or its versions do not fit.
    """
    checked = check_arguments(arguments, compiled.parameters)
    planned = plan.steps(compiled)
    plan.check_step(from_step, planned)
    with ExitStack() as ways:
        there = target(context, namespace, ways)
        versions.require(there.site, compiled_kinds(planned), where=there.cluster.where)
        _require_images(there.site, planned)
        by_kfp = bool(there.site.kfp.url) and not direct
        if by_kfp and from_step is not None:
            raise UsageError(
                "Kubeflow Pipelines cannot be told to run from a step on.",
                where=there.cluster.where,
                hint="drive the run from here with --direct, or run all of it with --no-cache",
            )
        known = {"context": context, "namespace": there.cluster.namespace}
        known |= {"driver": "kfp" if by_kfp else "client"} | ({"name": name} if name else {})
        fresh = not use_cache or from_step is not None or not resume
        earlier = None if fresh else unfinished(home, compiled, checked, known)
        if name and earlier is None:
            naming.require_free(name, home, there.store)
        options = Options(
            use_cache=use_cache,
            from_step=from_step,
            jobs=jobs or _SIDE_BY_SIDE,
            on_event=on_event,
            source=source,
            record=record and importlib.util.find_spec("mlflow") is not None,
            run_id=earlier or "",
            name=name,
            site=known,
        )
        if by_kfp:
            return Submission(
                compiled=compiled, text=_placed(compiled, there), arguments=checked,
                planned=planned, home=home, target=there, options=options,
            ).run()  # fmt: skip
        return drive(
            compiled, checked, home, planned, options,
            code=lambda: _code(compiled, home, there.store),
            make_place=lambda session: DirectPlace(
                session, there.cluster, there.site, there.store, resumed=earlier is not None
            ),
        )  # fmt: skip


def for_site(compiled: Compiled, context: str, namespace: str = "") -> Compiled:
    """A pipeline as a site's Kubeflow Pipelines runs it: its code in the store, its images named.

    Args:
        compiled: The pipeline.
        context: The kubeconfig's context.
        namespace: The namespace; the context's own unless given.

    Raises:
        UsageError: There is no such context.
        EnvironmentProblem: The site cannot be used.
    """
    with ExitStack() as ways:
        text = _placed(compiled, target(context, namespace, ways))
    return Compiled(**{**vars(compiled), "text": text})


def _placed(compiled: Compiled, there: Target) -> str:
    """A pipeline's YAML for a site's Kubeflow Pipelines, its code put into the store."""
    if compiled.code is not None:
        send_code(there.store, compiled.code)
    return placing.for_site(compiled, there.site.images)


def compiled_kinds(planned: list[Event]) -> set[str]:
    """The kinds of images that a pipeline's steps need."""
    return {kind_of(one["engine"]) for one in planned if one["engine"] != "importer"}


def _code(compiled: Compiled, home: Home, store: Store) -> Path | None:
    """The code here: of a pipeline that was compiled elsewhere, the site's store has it."""
    if compiled.code is None and compiled.code_digest:
        return code.fetch(store, compiled.code_digest, home.code)
    return plan.code(compiled, home)


def _require_images(site: Site, planned: list[Event]) -> None:
    for kind in sorted(compiled_kinds(planned)):
        if kind not in site.images:
            raise EnvironmentProblem(
                f"The site has no image for {kind} steps.",
                where=f"images.{kind}",
                hint="build them with `make images` and set `images` in the chart's values",
            )
