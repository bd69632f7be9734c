"""Requests that arrive together are predicted together.

Nothing waits for company: an idle server computes at once, and whatever has queued while it
computed goes next, as one call of the model. Quick models run on the event loop, where the
hand-over to a thread would cost more than they do; slow ones run in one thread, so that health
checks and refusals are answered meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from headrace.registry.loading import InputMismatch, Predict
from headrace.serving.calls import Call, split, stack
from headrace.serving.metrics import Metrics
from headrace.serving.refusal import Refusal

log = logging.getLogger("headrace.serving")

# Between the two the place does not change, lest it flutter.
SLOW_SECONDS = 0.005
QUICK_SECONDS = 0.002
MANY_ROWS = 128
QUEUE_LIMIT = 4096

Waiting = tuple[Call, "asyncio.Future[Any]"]


class ModelFailed(Exception):
    """The model raised on a checked input; the cause is what it raised."""


class Batcher:
    """Calls one model, one call at a time.

    Args:
        predict: The model.
        defaults: Its parameters for calls that set none.
        metrics: Told of every call of the model.
        together: Whether calls with equal keys may share one.
        max_rows: The most rows that calls are put together for.
    """

    def __init__(
        self,
        predict: Predict,
        *,
        defaults: Mapping[str, Any] | None,
        metrics: Metrics,
        together: bool,
        max_rows: int,
    ) -> None:
        self._predict = predict
        self._defaults = defaults
        self._metrics = metrics
        self._together = together
        self._max_rows = max_rows
        self._queue: deque[Waiting] = deque()
        self._busy = False
        self._seconds = 0.0
        self._slow = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")
        self._loop = asyncio.get_running_loop()

    def submit(self, call: Call) -> asyncio.Future[Any]:
        """The result of a call, when it is there; or ModelFailed, or a Refusal by the model.

        Raises:
            Refusal: 503, if thousands wait already.
        """
        if len(self._queue) >= QUEUE_LIMIT:
            raise Refusal(what=f"{QUEUE_LIMIT} requests wait already.", status=503)
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.append((call, future))
        if not self._busy:
            self._busy = True
            # One turn later, what came in the same turn of the loop is queued too.
            self._loop.call_soon(self._next)
        return future

    @property
    def waiting(self) -> int:
        """How many calls are queued."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or computed."""
        return not self._busy

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False)

    def _next(self) -> None:
        batch = self._take()
        if not batch:
            self._busy = False
            return
        rows = sum(call.rows for call, _ in batch)
        if self._slow or rows > MANY_ROWS:
            task = self._loop.run_in_executor(self._thread, self._compute, batch)
            task.add_done_callback(lambda done: self._deliver(batch, done.result()))
        else:
            self._deliver(batch, self._compute(batch))

    def _take(self) -> list[Waiting]:
        """The longest run of queued calls that may go together, in the order they came."""
        queue, rows = self._queue, 0
        batch: list[Waiting] = []
        while queue:
            call, future = queue[0]
            if future.cancelled():
                queue.popleft()
                continue
            if batch:
                alike = self._together and call.key is not None and call.key == batch[0][0].key
                if not alike or rows + call.rows > self._max_rows:
                    break
            batch.append(queue.popleft())
            rows += call.rows
        return batch

    def _compute(self, batch: Sequence[Waiting]) -> list[Any]:
        """A result or an exception for each call."""
        calls = [call for call, _ in batch]
        started = time.perf_counter()
        try:
            results = split(self._call(stack(calls), calls[0].params), calls)
        # A model that calls sys.exit() must not take the server along.
        except (Exception, SystemExit) as error:
            if len(calls) == 1:
                return [_failure(error)]
            log.warning("A batch of %d failed (%r); trying one by one.", len(calls), error)
            results = None
        else:
            self._account(calls, time.perf_counter() - started)
            if results is None:
                log.warning("The model gives not one result a row: batching is off from now on.")
                self._together = False
        return results if results is not None else [self._alone(call) for call in calls]

    def _alone(self, call: Call) -> Any:
        started = time.perf_counter()
        try:
            result = self._call(call.data, call.params)
        except (Exception, SystemExit) as error:
            return _failure(error)
        self._account([call], time.perf_counter() - started)
        return result

    def _call(self, data: Any, params: Mapping[str, Any] | None) -> Any:
        return self._predict(data, self._defaults if params is None else params)

    def _account(self, calls: Sequence[Call], seconds: float) -> None:
        metrics = self._metrics
        metrics.batch_requests.observe(len(calls))
        metrics.batch_rows.observe(sum(call.rows for call in calls))
        metrics.predict_seconds.observe(seconds)
        self._seconds += 0.2 * (seconds - self._seconds)
        self._slow = self._seconds > (QUICK_SECONDS if self._slow else SLOW_SECONDS)

    def _deliver(self, batch: Sequence[Waiting], results: Sequence[Any]) -> None:
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
        # Answers go out before the next call of the model begins.
        self._loop.call_soon(self._next)


def _failure(error: BaseException) -> Exception:
    if isinstance(error, InputMismatch):
        return Refusal(what=f"The model does not take this input: {error}")
    failure = ModelFailed(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure
