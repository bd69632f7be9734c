"""The server process: `python -m headrace.serving.server --model models:/NAME/VERSION`.

It holds one version from start to end. SIGTERM makes it stop accepting, answer what it has
accepted, and exit with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from headrace.core.errors import HeadraceError
from headrace.serving import processes, records, sockets

log = logging.getLogger("headrace.serving")

KEEP_ALIVE_SECONDS = 75
# Still accepting after SIGTERM: connections that the kernel holds for us are answered too.
# In a pod for much longer: until no proxy of the cluster sends any here.
LAME_SECONDS = 0.2
# Then clients that keep connections are told with each answer to close them.
FAREWELL_SECONDS = 1.0
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="headrace.serving.server", description=__doc__)
    add = parser.add_argument
    add("--model", required=True, help="models:/NAME/VERSION, or the folder of a model")
    add("--tracking-uri", default=os.environ.get("MLFLOW_TRACKING_URI", ""))
    add("--name", default="", help="what to call a model from a folder")
    add("--folder", type=Path, help="where the version's files lie, if known")
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=0, help="0: the first free one from 8500")
    add("--threads", type=int, default=1, help="threads of one prediction (0: the libraries')")
    add("--batching", choices=("auto", "on", "off"), default="auto")
    add("--max-batch", type=int, default=256, help="most rows predicted together")
    add("--max-body", type=int, default=16 * 2**20, help="largest request, in bytes")
    add("--grace", type=float, default=30.0, help="seconds to finish requests on SIGTERM")
    add("--lame", type=float, default=LAME_SECONDS, help="seconds to accept more on SIGTERM")
    add("--fd", type=int, help="a bound socket; listened on once the model is ready")
    add("--ready-fd", type=int, help="a pipe whose reader waits for this server")
    add("--replaces", default="", help="PID:START of the server that ends once this is ready")
    add("--elsewhere", action="store_true", help="that one is at another port")
    add("--record", type=Path, help="where to write this server down once it is ready")
    add("--alias", default="")
    add("--run-id", default=None)
    return parser.parse_args(argv)


class Server(uvicorn.Server):  # type: ignore[misc]
    """uvicorn's server, which leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Nothing: uvicorn's own would end the process by the signal instead of with 0."""
        yield


class ModelServer:
    """One process's life: bind, load, warm up, serve, drain."""

    def __init__(self, asked: argparse.Namespace, bound: socket.socket) -> None:
        # Numeric libraries read their thread count once, when they are imported; so they are
        # imported here, after `main` has set it.
        from headrace.registry.loading import VERSION_URI
        from headrace.serving.app import Application

        self._asked = asked
        self._bound = bound
        versioned = VERSION_URI.fullmatch(asked.model)
        name = versioned["name"] if versioned else asked.name or Path(asked.model).resolve().name
        version = versioned["version"] if versioned else "0"
        self._app = Application(name, version, max_body=asked.max_body)
        config = uvicorn.Config(
            self._app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, round(asked.grace)),
        )
        self.loop_factory = config.get_loop_factory()
        self._server = Server(config)
        self._draining: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        if self._asked.fd is not None:
            # Whoever gave the socket waits for a ready server: no connection comes too early.
            await self._load()
            self._report("loaded")
        sockets.about_to_listen(self._bound)
        serving = asyncio.create_task(self._server.serve(sockets=[self._bound]))
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.005)
        if self._asked.fd is None:
            loading = asyncio.create_task(self._load())
            await asyncio.wait((loading, serving), return_when=asyncio.FIRST_COMPLETED)
            if not serving.done() and loading.exception() is not None:
                self._server.should_exit = True
                await serving
                loading.result()
        self._began()
        await serving

    async def _load(self) -> None:
        """Open the model and warm it up, in a thread: health checks are answered meanwhile."""
        model, together = await asyncio.to_thread(self._open)
        self._app.serve(model, together=together, max_rows=self._asked.max_batch)
        # What is there now stays: the collector need not look through it again.
        gc.collect()
        gc.freeze()

    def _open(self) -> tuple[Any, bool]:
        from headrace.registry.loading import load
        from headrace.serving.warming import warm_up

        asked, began = self._asked, time.monotonic()
        folder = asked.folder or _resolve(asked.model, asked.tracking_uri)
        model = load(asked.model, asked.tracking_uri, folder=folder, name=asked.name)
        if asked.threads and "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(asked.threads)
        together = warm_up(model, asked.batching)
        told = (model.name, model.version, model.flavor, model.digest, time.monotonic() - began)
        log.info("Loaded %s version %s (%s, %s) in %.1f s.", *told)
        log.info("Requests %s predicted together.", "are" if together else "are not")
        return model, together

    def _began(self) -> None:
        """Ready and listening: say so, and relieve the predecessor."""
        asked = self._asked
        host, port = self._bound.getsockname()[:2]
        log.info("Serving at http://%s:%d.", host, port)
        if asked.replaces and not asked.elsewhere:
            sockets.take_over(self._bound)
        if asked.record:
            records.write(asked.record, self._record(host, port))
        if asked.replaces:
            pid, _, start = asked.replaces.partition(":")
            processes.send_signal(int(pid), int(start), signal.SIGTERM)
        with contextlib.suppress(BrokenPipeError):
            self._report("ready")

    def _record(self, host: str, port: int) -> records.ServerRecord:
        model = self._app.model
        assert model is not None
        return records.ServerRecord(
            name=model.name,
            version=model.version,
            uri=model.uri,
            folder=str(model.folder),
            alias=self._asked.alias,
            host=host,
            port=port,
            pid=os.getpid(),
            pid_start=processes.start_of(os.getpid()) or 0,
            run_id=self._asked.run_id,
            started=time.time(),
        )

    def _report(self, word: str) -> None:
        """Tell whoever waits. Raises BrokenPipeError if it has gone: then nobody wants us."""
        if self._asked.ready_fd is not None:
            os.write(self._asked.ready_fd, f"{word}\n".encode())

    def _stop(self) -> None:
        if not self._server.started:
            log.info("Stopped before it served.")
            os._exit(0)
        if self._draining is not None:
            # Asked twice: at once, then.
            self._server.should_exit = self._server.force_exit = True
            return
        self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        log.info("Draining.")
        self._app.draining = True
        await asyncio.sleep(self._asked.lame)
        for listener in self._server.servers:
            listener.close()
        until = time.monotonic() + FAREWELL_SECONDS
        while self._server.server_state.connections and time.monotonic() < until:
            await asyncio.sleep(0.02)
        self._server.should_exit = True


def _resolve(uri: str, tracking_uri: str) -> Path:
    """The version's folder, found by a process of its own: MLflow's memory is then not ours."""
    if not uri.startswith("models:"):
        from headrace.registry.loading import model_folder

        return model_folder(uri, tracking_uri)
    command = [sys.executable, "-m", "headrace.registry.loading", uri, tracking_uri]
    told = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if told.returncode:
        raise HeadraceError(f"The files of {uri} cannot be found.", where=tracking_uri)
    return Path(told.stdout.strip().splitlines()[-1])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server; its exit code."""
    asked = arguments(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # MLflow's own server says this of itself; models may ask.
    os.environ["_MLFLOW_IS_IN_SERVING_ENVIRONMENT"] = "true"
    if asked.tracking_uri:
        os.environ["MLFLOW_TRACKING_URI"] = os.environ["MLFLOW_REGISTRY_URI"] = asked.tracking_uri
    if asked.threads:
        for variable in THREAD_VARIABLES:
            os.environ.setdefault(variable, str(asked.threads))
    try:
        bound = (
            sockets.bind(asked.host, asked.port)
            if asked.fd is None
            else socket.socket(fileno=asked.fd)
        )
        server = ModelServer(asked, bound)
        with asyncio.Runner(loop_factory=server.loop_factory) as runner:
            runner.run(server.run())
    except HeadraceError as error:
        log.error("%s", error)
        return error.exit_code
    except BrokenPipeError:
        log.error("Whoever started this server is gone; so is the server.")
        return 1
    except Exception:
        log.exception("The model cannot be served.")
        return 1
    log.info("Stopped.")
    return 0


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # Taking numeric libraries apart at exit takes a second and prints of leaks that are not ours.
    os._exit(code)
