"""The ASGI application: paths, bodies, status codes. No framework: this is the hot path."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import orjson

from headrace.registry.loading import LoadedModel
from headrace.serving import params as parameters
from headrace.serving.batching import Batcher, ModelFailed
from headrace.serving.csvs import read_csv
from headrace.serving.encoding import Unwritable, write_outputs, write_predictions
from headrace.serving.inference import describe, read_infer
from headrace.serving.invocations import read_invocation
from headrace.serving.metrics import Metrics
from headrace.serving.refusal import Refusal, near, show

log = logging.getLogger("headrace.serving")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = tuple[int, bytes]

JSON, TEXT = b"application/json", b"text/plain; charset=utf-8"
EXPOSITION = b"text/plain; version=0.0.4; charset=utf-8"
# A body that is too large is read and thrown away up to this, so that its sender gets to read
# the answer; beyond it the connection is cut.
POLITE_BYTES = 64 * 2**20
SHOWN = 200


class Application:
    """Answers for one model, also while it is not there yet.

    Args:
        name: The model's name.
        version: Its version.
        max_body: The largest body taken, in bytes.
    """

    def __init__(self, name: str, version: str, *, max_body: int) -> None:
        self.metrics = Metrics()
        self.draining = False
        self.model: LoadedModel | None = None
        self._batcher: Batcher | None = None
        self._max_body = max_body
        base = f"/v2/models/{name}"
        self._served = f"{name}, version {version}"
        self._bases = (base, f"{base}/versions/{version}")
        self._posts = {"/invocations": self._invocations}
        self._gets: dict[str, Callable[[], tuple[int, bytes, bytes]]] = {
            "/": self._root,
            "/v2": self._server,
            "/v2/health/live": lambda: (200, b'{"live":true}', JSON),
            "/v2/health/ready": self._ready,
            "/ping": self._ping,
            "/health": self._ping,
            "/version": lambda: (200, _installed("mlflow").encode(), TEXT),
            "/metrics": self._exposition,
        }
        for one in self._bases:
            self._posts[f"{one}/infer"] = self._infer
            self._gets[one] = self._metadata
            self._gets[f"{one}/ready"] = self._ready

    def serve(self, model: LoadedModel, *, together: bool, max_rows: int) -> None:
        """Be ready from now on. To be called on the event loop."""
        self._batcher = Batcher(
            model.predict,
            defaults=parameters.defaults(model.signature),
            metrics=self.metrics,
            together=together,
            max_rows=max_rows,
        )
        self.model = model
        self.metrics.loaded(model)

    @property
    def idle(self) -> bool:
        """Whether no prediction is under way."""
        return self._batcher is None or self._batcher.idle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            raise NotImplementedError(f"{scope['type']} is not spoken here.")
        started = time.perf_counter()
        path, method = scope["path"], scope["method"]
        content, close = JSON, self.draining
        allow: str | None = None
        endpoint = "other"
        try:
            if (post := self._posts.get(path)) is not None:
                endpoint = "invocations" if path == "/invocations" else "infer"
                if method != "POST":
                    raise _wrong_method(method, "POST")
                status, body = await self._predict(post, scope, receive)
            elif (get := self._gets.get(path)) is not None:
                endpoint = "about"
                if method not in ("GET", "HEAD"):
                    raise _wrong_method(method, "GET")
                status, body, content = get()
            else:
                raise self._unknown(path)
        except Refusal as refusal:
            status, body, allow = refusal.status, refusal.body(), refusal.allow
        # A body left unread would be taken for the next request.
        close = close or status == 413
        await _send(send, status, body, content, allow, close)
        self.metrics.request(endpoint, status, time.perf_counter() - started)

    async def _predict(
        self,
        answer: Callable[[bytes, dict[bytes, bytes]], Awaitable[bytes]],
        scope: Scope,
        receive: Receive,
    ) -> Answer:
        try:
            headers = dict(scope["headers"])
            body = await self._body(headers, receive)
            if self._batcher is None:
                raise Refusal(what="The model is being loaded.", status=503, hint="Try again soon.")
            return 200, await answer(body, headers)
        except Refusal as refusal:
            self.metrics.error("overload" if refusal.status == 503 else "input")
            return refusal.status, refusal.body(mlflow=scope["path"] == "/invocations")
        except (ModelFailed, Unwritable) as failure:
            log.error("The model failed on a request.", exc_info=failure.__cause__ or failure)
            if isinstance(failure, Unwritable):
                cause, what = "result", str(failure)[:SHOWN]
            else:
                cause, what = "model", f"The model failed: {str(failure)[:SHOWN]}"
        except Exception as bug:
            log.error("A request could not be answered.", exc_info=bug)
            cause, what = "server", "The server failed; its log says why."
        self.metrics.error(cause)
        mlflow = scope["path"] == "/invocations"
        return 500, Refusal(what=show(what)[1:-1], status=500).body(mlflow=mlflow)

    async def _body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        told = headers.get(b"content-length", b"0")
        declared = int(told) if told.isdigit() else 0
        if declared > POLITE_BYTES:
            raise self._too_large()
        message = await receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            chunks, size = [body], len(body)
            while message.get("more_body"):
                message = await receive()
                size += len(message.get("body", b""))
                if size > POLITE_BYTES:
                    break
                if size <= self._max_body:
                    chunks.append(message.get("body", b""))
            if size > self._max_body:
                raise self._too_large()
            body = b"".join(chunks)
        if message["type"] == "http.disconnect":
            raise Refusal(what="The client went away before its request was whole.")
        if len(body) > self._max_body:
            raise self._too_large()
        if b"content-encoding" in headers:
            what = "Compressed bodies are not read."
            raise Refusal(what=what, status=415, field="content-encoding", expected="none")
        return body

    def _too_large(self) -> Refusal:
        hint = "Send fewer rows at a time."
        what = "The body is too large."
        return Refusal(what=what, status=413, expected=f"at most {self._max_body} bytes", hint=hint)

    async def _infer(self, body: bytes, headers: dict[bytes, bytes]) -> bytes:
        assert self.model is not None and self._batcher is not None
        if b"inference-header-content-length" in headers:
            raise Refusal(what="Binary tensors are not spoken here.", hint="Send data as JSON.")
        request = read_infer(body, self.model.signature)
        result = await self._batcher.submit(request.call)
        return write_outputs(self.model, result, request.id, request.outputs)

    async def _invocations(self, body: bytes, headers: dict[bytes, bytes]) -> bytes:
        assert self.model is not None and self._batcher is not None
        told = headers.get(b"content-type", JSON).decode("latin-1").lower()
        kind, _, rest = told.partition(";")
        charset = rest.strip().removeprefix("charset=").strip('"')
        if kind.strip() not in ("application/json", "text/csv") or charset not in ("", "utf-8"):
            raise Refusal(
                what="The content type is not read here.",
                status=415,
                field="content-type",
                expected="application/json or text/csv, in UTF-8",
                got=show(told),
            )
        read = read_csv if kind.strip() == "text/csv" else read_invocation
        result = await self._batcher.submit(read(body, self.model.signature))
        return write_predictions(result)

    def _unknown(self, path: str) -> Refusal:
        if path.startswith("/v2/models/"):
            what = f"No such model, version or action here: {show(path)}."
            hint = f"This server holds {self._served}, at {self._bases[0]}."
            return Refusal(what=what, status=404, hint=hint)
        others = near(path, [*self._gets, *self._posts])
        return Refusal(what=f"Nothing is at {show(path)}.", status=404, hint=others)

    def _root(self) -> tuple[int, bytes, bytes]:
        told = {
            "serves": self._served,
            "ready": self.model is not None and not self.draining,
            "get": sorted(self._gets),
            "post": sorted(self._posts),
        }
        return 200, orjson.dumps(told), JSON

    def _server(self) -> tuple[int, bytes, bytes]:
        told = {"name": "headrace", "version": _installed("headrace"), "extensions": []}
        return 200, orjson.dumps(told), JSON

    def _ready(self) -> tuple[int, bytes, bytes]:
        ready = self.model is not None and not self.draining
        return (200, b'{"ready":true}', JSON) if ready else (503, b'{"ready":false}', JSON)

    def _ping(self) -> tuple[int, bytes, bytes]:
        return self._ready()[0], b"\n", JSON

    def _metadata(self) -> tuple[int, bytes, bytes]:
        if self.model is None:
            raise Refusal(what="The model is being loaded.", status=503, hint="Try again soon.")
        return 200, orjson.dumps(describe(self.model)), JSON

    def _exposition(self) -> tuple[int, bytes, bytes]:
        self.metrics.queued.set(self._batcher.waiting if self._batcher else 0)
        return 200, self.metrics.text(), EXPOSITION


async def _send(
    send: Send, status: int, body: bytes, content: bytes, allow: str | None, close: bool
) -> None:
    headers = [(b"content-type", content), (b"content-length", b"%d" % len(body))]
    if allow is not None:
        headers.append((b"allow", allow.encode()))
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _wrong_method(method: str, allowed: str) -> Refusal:
    what = "The method is wrong."
    return Refusal(what=what, status=405, expected=allowed, got=method[:20], allow=allowed)


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
