"""Requests to the job API that a Ray head serves."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace.engines.ray_kubernetes import DASHBOARD_PORT

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_TAKEN = "Please use a different submission_id"


class NotAnswering(Exception):
    """The head does not answer, or not yet."""


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """The job API of one head."""

    host: str
    """The head's address."""
    port: int = DASHBOARD_PORT
    """Its port."""
    timeout: float = 10.0
    """Seconds that an answer may take."""

    def submit(
        self, job: str, entrypoint: str, *, variables: Mapping[str, str], about: Mapping[str, str]
    ) -> None:
        """Have a job run; nothing happens if it was submitted before.

        Args:
            job: Its id.
            entrypoint: The command that the head runs.
            variables: Environment of that command and of everything it starts.
            about: Facts that the head keeps with the job.

        Raises:
            NotAnswering: It could not be submitted now.
        """
        body: dict[str, Any] = {"entrypoint": entrypoint, "submission_id": job}
        body |= {"metadata": dict(about)} if about else {}
        body |= {"runtime_env": {"env_vars": dict(variables)}} if variables else {}
        try:
            self._ask("POST", "/api/jobs/", body)
        except NotAnswering as error:
            if _TAKEN not in str(error):
                raise

    def job(self, job: str) -> dict[str, Any] | None:
        """What the head knows of a job; None if it has none of that id."""
        found = self._ask("GET", f"/api/jobs/{job}")
        return dict(found) if found is not None else None

    def jobs(self) -> list[dict[str, Any]]:
        """All jobs that the head knows."""
        return list(self._ask("GET", "/api/jobs/") or [])

    def log(self, job: str) -> str:
        """All that the job's command has printed, and its workers."""
        found = self._ask("GET", f"/api/jobs/{job}/logs")
        return str(found.get("logs", "")) if found else ""

    def stop(self, job: str) -> None:
        """Ask a job to end; it is killed seconds later."""
        self._ask("POST", f"/api/jobs/{job}/stop")

    def forget(self, job: str) -> None:
        """Remove what the head keeps of a job that has ended."""
        self._ask("DELETE", f"/api/jobs/{job}")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer; None where there is nothing of the kind."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            f"http://{self.host}:{self.port}{path}",
            data=data,
            method=method,
            headers={"Content-Type": "application/json"},
        )
        try:
            with _DIRECT.open(request, timeout=self.timeout) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code == 404 and method == "GET":
                return None
            raise NotAnswering(error.read().decode(errors="replace")[-2000:]) from error
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NotAnswering(str(error)) from error
