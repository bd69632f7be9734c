"""Requests to one cluster, in one namespace. Objects go in and come out as plain dicts."""

from __future__ import annotations

import builtins
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headrace.cluster import errors, kinds
from headrace.cluster.patience import patiently

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Manifest = dict[str, Any]
"""An object of Kubernetes, as its YAML would read."""

FIELD_MANAGER = "headrace"
_TIMEOUT = (5.0, 30.0)
_SILENT_LOG = 600.0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One cluster, seen through one context and namespace. Any thread may use it."""

    context: str
    """The kubeconfig's context; `in-cluster` inside a pod."""
    namespace: str
    """Where objects are read and made."""
    api: ApiClient = field(repr=False)
    """The connection, with its credentials."""
    patience: float = 0.0
    """Seconds for which a cluster that does not answer is asked again."""
    on_wait: Callable[[str], None] | None = field(default=None, repr=False)
    """Told once when the cluster stops answering, and once when it answers again."""

    @property
    def where(self) -> str:
        """The context and namespace, for errors."""
        return f"context {self.context}, namespace {self.namespace}"

    def get(self, kind: str, name: str) -> Manifest | None:
        """One object, or None if it is not there."""
        with suppress(errors.NotThere):
            found: Manifest = self._json("GET", kinds.path(kind, self.namespace, name))
            return found
        return None

    def list(self, kind: str, selector: str = "", *, fields: str = "") -> list[Manifest]:
        """The objects of a kind that a label selector and a field selector choose."""
        query = {"labelSelector": selector, "fieldSelector": fields}
        asked = {key: one for key, one in query.items() if one}
        found = self._json("GET", kinds.path(kind, self.namespace), query=asked)
        return list(found.get("items", []))

    def create(self, manifest: Manifest) -> Manifest:
        """Make an object; if the answer to an earlier try was lost, the object it made.

        Raises:
            Conflict: It was there before.
        """
        kind = kinds.plural(manifest["kind"])
        tries = 0

        def once() -> Any:
            nonlocal tries
            tries += 1
            try:
                return self._once("POST", kinds.path(kind, self.namespace), body=manifest)
            except errors.Conflict:
                there = self.get(kind, manifest["metadata"]["name"]) if tries > 1 else None
                if there is None:
                    raise
                return there

        made: Manifest = self._patiently(once)
        return made

    def apply(self, manifest: Manifest) -> Manifest:
        """Make an object or change it to what the manifest says (server-side apply)."""
        kind, name = kinds.plural(manifest["kind"]), manifest["metadata"]["name"]
        made: Manifest = self._json(
            "PATCH", kinds.path(kind, self.namespace, name),
            query={"fieldManager": FIELD_MANAGER, "force": "true"},
            body=manifest, content="application/apply-patch+yaml",
        )  # fmt: skip
        return made

    def patch(
        self, kind: str, name: str, change: Manifest, *, sub: str = "", manager: str = ""
    ) -> Manifest:
        """Change parts of an object (JSON merge patch), under a field manager's name if one is
        given.
        """
        made: Manifest = self._json(
            "PATCH", kinds.path(kind, self.namespace, name, sub=sub),
            query={"fieldManager": manager} if manager else None,
            body=change, content="application/merge-patch+json",
        )  # fmt: skip
        return made

    def delete(self, kind: str, name: str, *, grace: int | None = None, uid: str = "") -> bool:
        """Remove an object and, in the background, what it owns. False if it was not there."""
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        body |= {} if grace is None else {"gracePeriodSeconds": grace}
        body |= {"preconditions": {"uid": uid}} if uid else {}
        try:
            self._json("DELETE", kinds.path(kind, self.namespace, name), body=body)
        except errors.NotThere:
            return False
        return True

    def delete_all(
        self, kind: str, selector: str, *, grace: int | None = None
    ) -> builtins.list[str]:
        """Remove every object that the selector chooses, and return their names."""
        names = [one["metadata"]["name"] for one in self.list(kind, selector)]
        return [name for name in names if self.delete(kind, name, grace=grace)]

    def logs(
        self,
        pod: str,
        *,
        container: str = "",
        follow: bool = False,
        since: str = "",
        timestamps: bool = False,
        previous: bool = False,
    ) -> Iterator[str]:
        """A container's lines, without their line ends; with `follow` until it ends.

        Args:
            pod: The pod.
            container: The container, if it has several.
            follow: Wait for more.
            since: Only lines from this RFC 3339 time on.
            timestamps: Begin each line with its time.
            previous: The container's last life, before its restart.

        Raises:
            Unreachable: The connection was lost; lines may follow when asked again.
        """
        query = {
            "container": container, "follow": follow, "sinceTime": since,
            "timestamps": timestamps, "previous": previous,
        }  # fmt: skip
        asked = {k: str(v).lower() if v is True else v for k, v in query.items() if v}
        path = kinds.path("pods", self.namespace, pod, sub="log")
        yield from self.stream(path, asked, silence=_SILENT_LOG if follow else _TIMEOUT[1])

    def stream(self, path: str, query: Mapping[str, Any], *, silence: float) -> Iterator[str]:
        """The lines of an answer that goes on, such as a watch's.

        Args:
            path: The API's path.
            query: Its parameters.
            silence: Seconds without a line after which the connection counts as lost.

        Raises:
            Unreachable: The connection was lost.
        """
        answer = self._open("GET", path, query=query, timeout=(_TIMEOUT[0], silence))
        try:
            yield from _lines(answer)
        except Exception as error:
            raise errors.from_silence(error, where=self.where) from error
        finally:
            answer.close()
            answer.release_conn()

    def ask(self, path: str, *, method: str = "GET", body: Any = None) -> Any:
        """Any other path of the API, such as `/version`; what it answers."""
        return self._json(method, path, body=body)

    def may(self, verb: str, kind: str, *, sub: str = "") -> bool:
        """Whether whoever asks may do something with a kind in this namespace."""
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {
                "resourceAttributes": {
                    "namespace": self.namespace, "verb": verb, "resource": kind,
                    "group": kinds.group(kind), "subresource": sub,
                }
            },
        }  # fmt: skip
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        return bool(self._json("POST", path, body=review)["status"]["allowed"])

    def _json(
        self, method: str, path: str, *, query: Any = None, body: Any = None, content: str = ""
    ) -> Any:
        return self._patiently(
            lambda: self._once(method, path, query=query, body=body, content=content)
        )

    def _once(
        self, method: str, path: str, *, query: Any = None, body: Any = None, content: str = ""
    ) -> Any:
        answer = self._open(method, path, query=query, body=body, content=content)
        try:
            return json.loads(answer.data)
        except ValueError as error:
            raise errors.from_silence(error, where=self.where) from error

    def _open(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content: str = "",
        timeout: tuple[float, float] = _TIMEOUT,
    ) -> Any:
        from kubernetes.client.exceptions import ApiException
        from urllib3.exceptions import HTTPError

        headers = {"Accept": "application/json, */*", "Content-Type": content or "application/json"}
        try:
            return self.api.call_api(
                path, method, query_params=list((query or {}).items()), header_params=headers,
                body=body, auth_settings=["BearerToken"], _preload_content=False,
                _return_http_data_only=True, _request_timeout=timeout,
            )  # fmt: skip
        except ApiException as error:
            text = error.body.decode(errors="replace") if isinstance(error.body, bytes) else ""
            said = text or str(error.body or error.reason)
            if not error.status:
                raise errors.from_silence(error, where=self.where) from error
            asked = f"{method.lower()} {path.rpartition('/')[2]}"
            raise errors.from_answer(error.status, said, asked=asked, where=self.where) from error
        except (HTTPError, OSError) as error:
            raise errors.from_silence(error, where=self.where) from error

    def _patiently(self, request: Callable[[], Any]) -> Any:
        """Ask again while the cluster does not answer, for as long as patience lasts."""
        return patiently(
            request, unanswered=errors.Unreachable, seconds=self.patience,
            on_wait=self.on_wait, back="the cluster answers again",
        )  # fmt: skip


def _lines(answer: Any) -> Iterator[str]:
    pending = b""
    while chunk := answer.read1(2**16, decode_content=True):
        *whole, pending = (pending + chunk).split(b"\n")
        yield from (one.decode(errors="replace") for one in whole)
    if pending:
        yield pending.decode(errors="replace")
