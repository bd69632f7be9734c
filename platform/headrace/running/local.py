"""This machine as the place where steps run: processes, forked with their libraries imported."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from headrace.core.errors import HeadraceError
from headrace.executing import reports
from headrace.executing.main import ERROR_FILE
from headrace.running import environment, finished, importer, plan, processes, reuse
from headrace.running.artifacts import Artifact, Outputs, content_digest
from headrace.running.launch import Server
from headrace.running.place import Attempt, Broken
from headrace.running.processes import Job
from headrace.running.session import Session

_POLL = 0.25


class LocalPlace:
    """The processes of one run on this machine.

    Args:
        session: The run.
        extra: Variables for every step's environment besides the usual ones.
    """

    def __init__(self, session: Session, extra: Mapping[str, str]) -> None:
        self._session = session
        self._home = session.home
        executors = session.compiled.ir["deploymentSpec"]["executors"]
        self._libraries = {
            label: plan.libraries(executor, session.code) for label, executor in executors.items()
        }
        log = session.folder / "forkserver.log"
        ahead = plan.ahead(session.compiled, self._libraries, recorded=session.recorded)
        self._light = Server([], log)
        self._heavy = Server(ahead, log)
        self._environment = environment.of_steps(
            session.home, session.run_id, session.compiled.name, session.code
        ) | dict(extra)

    @property
    def root(self) -> str:
        return str(self._home.artifacts / self._session.run_id)

    @property
    def workspace(self) -> str:
        return str(self._session.folder / "workspace")

    def environment_digest(self) -> str:
        return reuse.environment_digest()

    async def start(self) -> None:
        if self._session.compiled.workspace is not None:
            Path(self.workspace).mkdir(parents=True, exist_ok=True)
        await self._light.start()
        if self._heavy.libraries:
            await self._heavy.start()

    async def close(self) -> None:
        await self._light.close()
        await self._heavy.close()

    async def record(self) -> Any:
        folder = self._session.folder
        request = {
            "kind": "call",
            "call": "headrace.registry.recorder:main",
            "arguments": {"arguments": [str(folder)]},
            "env": dict(self._environment),
            "cwd": os.getcwd(),
            "log": str(folder / "recorder.log"),
            "work": str(folder),
            "code": None,
            "outlives": True,
        }
        return (await self._heavy.run(request, ["mlflow"])).exited

    def find_earlier(self, key: str) -> reuse.Earlier | None:
        return reuse.find_earlier(self._home, key)

    def import_artifact(self, importer_spec: Mapping[str, Any], attempt: Attempt) -> Outputs:
        return importer.run(importer_spec, attempt.leaf.inputs)

    async def attempt(self, attempt: Attempt) -> Outputs:
        """One attempt, in folders that no other attempt has seen."""
        leaf, session = attempt.leaf, self._session
        self._say_what_is_ignored(attempt)
        place = leaf.path + ("" if attempt.number == 1 else f".attempt-{attempt.number}")
        folder, work = Path(self.root) / place, session.folder / "work" / place
        shutil.rmtree(folder, ignore_errors=True)
        work.mkdir(parents=True)
        job = processes.make_job(
            session, leaf, folder=folder, work=work, log=session.folder / attempt.log,
            environment=self._environment, libraries=self._libraries[leaf.label],
        )  # fmt: skip
        await self._run(job, work, attempt)
        outputs = await self._outputs(job, attempt)
        await asyncio.to_thread(
            reuse.keep, self._home, folder,
            key=attempt.key, run=session.run_id, step=leaf.path, outputs=outputs,
        )  # fmt: skip
        shutil.rmtree(work, ignore_errors=True)
        return outputs

    def stop_servers(self) -> None:
        from headrace.serving import local

        local.stop_of_run(self._home, self._session.run_id)

    def _say_what_is_ignored(self, attempt: Attempt) -> None:
        label = attempt.leaf.label
        if attempt.engine == "container":
            image = self._session.executor(label)["container"]["image"]
            attempt.note(f"runs as a process of this machine; the image {image} is not used")
        ignored = sorted(set(self._session.kubernetes(label)) - {"secretAsEnv"})
        if ignored:
            attempt.note(f"settings for Kubernetes alone, ignored here: {', '.join(ignored)}")

    async def _run(self, job: Job, work: Path, attempt: Attempt) -> None:
        server = self._heavy if job.heavy else self._light
        process = await server.run(job.request, job.needs)
        async with _reported(work / reports.FILE, attempt):
            code = await process.wait()
        if code != 0:
            raise Broken(_error(work, code, job.log))

    async def _outputs(self, job: Job, attempt: Attempt) -> Outputs:
        """What the step wrote, checked against what its component promises."""
        wrote: dict[str, Any] = {}
        if job.output_file.exists():
            wrote = json.loads(job.output_file.read_text())
        texts = {name: one.read_text() for name, one in job.parameter_files.items() if one.exists()}
        parameters = finished.parameters(
            attempt.leaf.component, wrote.get("parameterValues", {}), texts, log=str(job.log)
        )
        artifacts = {}
        for name, planned in job.artifacts.items():
            written = wrote.get("artifacts", {}).get(name, {}).get("artifacts", [{}])[0]
            artifact = Artifact(
                name=planned.name,
                type=planned.type,
                uri=written.get("custom_path") or written.get("uri") or planned.uri,
                metadata=written.get("metadata") or {},
            )
            digest = (
                await asyncio.to_thread(content_digest, artifact.path) if artifact.path else None
            )
            artifacts[name] = [Artifact(**{**vars(artifact), "digest": digest})]
        return Outputs(parameters=parameters, artifacts=artifacts)


@asynccontextmanager
async def _reported(file: Path, attempt: Attempt) -> AsyncIterator[None]:
    """Hand on what the step reports, while it runs and once more at its end."""
    offset = 0

    def look() -> None:
        nonlocal offset
        if not file.exists():
            return
        with file.open("rb") as reports_so_far:
            reports_so_far.seek(offset)
            complete, newline, _ = reports_so_far.read().rpartition(b"\n")
        offset += len(complete) + len(newline)
        for line in complete.splitlines():
            attempt.report(json.loads(line))

    async def watch() -> None:
        while True:
            await asyncio.sleep(_POLL)
            look()

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(HeadraceError):
            look()


def _error(work: Path, code: int, log: Path) -> dict[str, Any]:
    """Why a process ended: what it wrote down, or else what its exit tells."""
    with suppress(OSError, ValueError):
        described: dict[str, Any] = json.loads((work / ERROR_FILE).read_text())
        return {**described, "where": described["where"] or [str(log)]}
    hint = ""
    if code < 0:
        name = signal.Signals(-code).name
        what = f"The step was killed by {name}."
        if name == "SIGKILL":
            hint = "if nobody killed it, memory may have run out: smaller inputs or more memory"
    else:
        what = f"The step ended with exit code {code}."
        hint = "its log has what it printed last"
    return {
        "kind": "StepFailed", "what": what, "where": [str(log)], "hint": hint,
        "exit_code": 1, "traceback": "",
    }  # fmt: skip
