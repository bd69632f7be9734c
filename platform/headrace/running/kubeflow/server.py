"""The connection to a Kubeflow Pipelines server: requests, and its refusals in our words."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from headrace.cluster.patience import patiently
from headrace.core.errors import EnvironmentProblem, UsageError

if TYPE_CHECKING:
    from kfp_server_api import ApiClient

TOKEN = "HEADRACE_KFP_TOKEN"
"""The environment variable with the bearer token that a server behind a gateway asks for."""
_TIMEOUT = (5.0, 60.0)
_TRANSIENT = (0, 429, 500, 502, 503, 504)


@dataclass(frozen=True, kw_only=True)
class Server:
    """A Kubeflow Pipelines API server."""

    url: str
    """Its address."""
    namespace: str
    """Where its runs' pods are."""
    api: ApiClient = field(repr=False)
    """The connection."""
    patience: float = 0.0
    """Seconds for which a server that does not answer is asked again."""
    on_wait: Callable[[str], None] | None = field(default=None, repr=False)
    """Told once when the server stops answering, and once when it answers again."""

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        patient: bool = True,
    ) -> bytes:
        """A request's answer.

        Raises:
            EnvironmentProblem: The server refused, or did not answer for too long.
            UsageError: It does not know what was asked for.
        """
        return patiently(
            lambda: self._once(method, path, query, body), unanswered=_Unreachable,
            seconds=self.patience if patient else 0.0, on_wait=self.on_wait,
            back="Kubeflow Pipelines answers again",
        )  # fmt: skip

    def json(self, method: str, path: str, **options: Any) -> Any:
        """A request's answer, read as JSON."""
        return json.loads(self.ask(method, path, **options) or b"{}")

    def _once(self, method: str, path: str, query: Any, body: Any) -> bytes:
        from kfp_server_api import ApiException
        from urllib3.exceptions import HTTPError

        try:
            answer = self.api.call_api(
                path, method, query_params=list((query or {}).items()), body=body,
                header_params={"Content-Type": "application/json"}, auth_settings=["Bearer"],
                _preload_content=False, _return_http_data_only=True, _request_timeout=_TIMEOUT,
            )  # fmt: skip
            return bytes(answer.data)
        except ApiException as error:
            raise _refusal(error.status, str(error.body or error.reason), self.url) from error
        except (HTTPError, OSError) as error:
            raise _silence(error, self.url) from error


class _Unreachable(EnvironmentProblem):
    """The server does not answer, or not now."""


def connect(
    endpoint: str,
    namespace: str,
    *,
    patience: float = 0.0,
    on_wait: Callable[[str], None] | None = None,
) -> Server:
    """A server, whether it answers or not.

    Args:
        endpoint: Its URL; the address of its UI serves as well.
        namespace: Where its runs' pods are; on a server for several users, whose runs they are.
        patience: Seconds for which a server that does not answer is asked again.
        on_wait: Told when it stops answering, and when it answers again.
    """
    from kfp_server_api import ApiClient, Configuration

    configuration = Configuration(host=endpoint.rstrip("/"))
    configuration.retries = False  # asking again is this module's affair
    if token := os.environ.get(TOKEN):
        configuration.api_key = {"authorization": token}
        configuration.api_key_prefix = {"authorization": "Bearer"}
    return Server(
        url=configuration.host, namespace=namespace, api=ApiClient(configuration),
        patience=patience, on_wait=on_wait,
    )  # fmt: skip


def equal(key: str, value: str, *, operation: str = "operation") -> dict[str, str]:
    """A query for what has this value."""
    wanted = {"key": key, operation: "EQUALS", "string_value": value}
    return {"filter": json.dumps({"predicates": [wanted]})}


def run_path(run_id: str) -> str:
    """Where the server tells of a run."""
    return f"/apis/v2beta1/runs/{quote(run_id, safe='')}"


def fetch_run(run_id: str, server: Server) -> dict[str, Any]:
    """A run with the pipeline that it runs, which for an uploaded one stands elsewhere."""
    found: dict[str, Any] = server.json("GET", run_path(run_id))
    version = found.get("pipeline_version_reference") or {}
    if "pipeline_spec" not in found and {"pipeline_id", "pipeline_version_id"} <= set(version):
        pipeline, number = (
            quote(version[f"pipeline_{one}id"], safe="") for one in ("", "version_")
        )
        path = f"/apis/v2beta1/pipelines/{pipeline}/versions/{number}"
        found["pipeline_spec"] = server.json("GET", path).get("pipeline_spec") or {}
    return found


def log(run_id: str, pod: str, server: Server) -> str | None:
    """The log of a pod of a run, as far as it is there; None if there is none."""
    path = f"/apis/v1alpha1/runs/{quote(run_id, safe='')}/nodes/{quote(pod, safe='')}/log"
    text = server.ask("GET", path).decode(errors="replace")
    # It answers 200 before it looks, and then writes its error where the log would be.
    return None if re.match(r'\s*\{"error_(message|details)":', text) else text


def workflow(run_id: str, server: Server) -> Mapping[str, Any]:
    """The workflow that carries a run out."""
    found = server.json("GET", f"/apis/v1beta1/runs/{quote(run_id, safe='')}")
    text = found.get("pipeline_runtime", {}).get("workflow_manifest")
    made: dict[str, Any] = json.loads(text) if text else {"metadata": {"name": ""}}
    return made


def _refusal(status: int | None, body: str, url: str) -> Exception:
    try:
        said = json.loads(body)
        details = [one["message"] for one in said.get("details") or [] if one.get("message")]
        message = str([*details, said.get("message") or said.get("error") or body][0])
    except (ValueError, AttributeError, TypeError):
        message = body.strip()[:400]
    if status in (401, 403):
        return EnvironmentProblem(
            f"Kubeflow Pipelines does not let you in: {message}",
            where=url,
            hint=f"set {TOKEN} to a token that it takes",
        )
    if status == 404:
        return UsageError(f"Kubeflow Pipelines does not know it: {message}", where=url)
    if not status or status in _TRANSIENT:
        return _Unreachable(f"Kubeflow Pipelines does not answer now: {message}", where=url)
    return EnvironmentProblem(f"Kubeflow Pipelines refused: {message}", where=url)


def _silence(error: BaseException, url: str) -> _Unreachable:
    reason = str(getattr(error, "reason", None) or error)
    short = re.sub(r"<[^>]*>:? ?", "", reason).strip() or type(error).__name__
    return _Unreachable(
        f"Kubeflow Pipelines does not answer: {short}",
        where=url,
        hint="is it running, and is kfp.client_url of the site right?",
    )
