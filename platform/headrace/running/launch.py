"""Starting, awaiting and ending the processes of steps."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from headrace.core.errors import StepFailed
from headrace.running.forkserver import MODULES

GRACE = 3.0
"""Seconds between asking a step to end and making it."""


class Process:
    """One step's process, the leader of a process group of its own."""

    def __init__(self, server: Server, number: int) -> None:
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[int] = loop.create_future()
        self.exited: asyncio.Future[int] = loop.create_future()
        self._server = server
        self._number = number

    async def wait(self) -> int:
        """Its exit code; a signal's number, negated, if one ended it.

        Whatever it left running in its group is ended too. Cancelling the wait ends it all.

        Raises:
            StepFailed: The server is gone, and the process with it.
        """
        try:
            return await asyncio.shield(self.exited)
        except asyncio.CancelledError:
            await self.end()
            raise
        finally:
            self._signal(signal.SIGKILL)

    async def end(self) -> None:
        """Ask the group to end, and kill what has not after `GRACE` seconds."""
        if not self.started.done():
            self._server.withdraw(self._number)
            return
        self._signal(signal.SIGTERM)
        with suppress(asyncio.TimeoutError, StepFailed):
            await asyncio.wait_for(asyncio.shield(self.exited), GRACE)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.started.done() and not self.started.exception():
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.started.result(), number)


class Server:
    """The client's side of one fork server."""

    def __init__(self, libraries: Collection[str], log: Path) -> None:
        self.libraries = [one for one in libraries if one in MODULES]
        self._log = log
        self._processes: dict[int, Process] = {}
        self._outliving: list[int] = []
        self._program: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start the server, again if it is gone; it imports while this returns."""
        async with self._starting:
            if self._reading is None or self._reading.done():
                await self._connect()

    async def _connect(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MPLBACKEND": "Agg"}
        environment |= {"RAY_TRAIN_V2_ENABLED": "1", "RAY_USAGE_STATS_ENABLED": "0"}
        with self._log.open("ab") as log:
            self._program = subprocess.Popen(
                [sys.executable, "-P", "-m", "headrace.running.forkserver", str(theirs.fileno()),
                 *self.libraries],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )  # fmt: skip
        theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._reading = asyncio.create_task(self._read(reader))

    async def run(self, job: Mapping[str, Any], needs: Collection[str]) -> Process:
        """Fork a process for a job as soon as the libraries that it needs are imported."""
        await self.start()
        number = len(self._processes)
        process = self._processes[number] = Process(self, number)
        self._outliving += [number] if job.get("outlives") else []
        ahead = [one for one in needs if one in self.libraries]
        self._send({"id": number, "needs": ahead, "job": job})
        return process

    def withdraw(self, number: int) -> None:
        """Take a job back: it is not begun, or killed if it has been."""
        self._send({"withdraw": number})

    def _send(self, message: Mapping[str, Any]) -> None:
        # To a server that is gone nothing is sent: the end of `_read` tells who waits for it.
        assert self._writer is not None
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def close(self) -> None:
        """End the server and whatever it still runs.

        One that has yet to begin what is to outlive the run does that, and ends by itself.
        """
        late = any(not self._processes[one].started.done() for one in self._outliving)
        if self._writer is not None:
            self._writer.close()
        if self._reading is not None:
            self._reading.cancel()
        if self._program is not None and not late:
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._program.wait, GRACE)
            self._program.kill()
            self._program.wait()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            async for line in reader:
                self._hear(json.loads(line))
        except (ConnectionError, ValueError):
            pass  # killed with a job unread, or in the middle of a word
        finally:
            self._lose()

    def _hear(self, message: Mapping[str, Any]) -> None:
        process = self._processes[message["id"]]
        if "pid" in message:
            process.started.set_result(message["pid"])
        else:
            process.exited.set_result(message["exit"])

    def _lose(self) -> None:
        """Tell whoever still waits that the server is gone."""
        lost = StepFailed(
            "The process that starts steps is gone.",
            where=str(self._log),
            hint="if nobody killed it, memory may have run out; run again to continue",
        )
        for process in self._processes.values():
            for future in (process.started, process.exited):
                if not future.done():
                    future.set_exception(lost)
                    future.exception()  # it is raised where it is awaited, if anywhere
