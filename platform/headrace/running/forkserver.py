"""A process that has imported what steps need, and forks one child per step.

    python -m headrace.running.forkserver SOCKET_FD LIBRARY…

It imports the libraries one by one and forks a step as soon as those that the step needs
are there, so importing goes on while earlier steps run. It starts no thread and runs no
user code: a fork of it is as good as a fresh interpreter. It speaks JSON lines:
`{"id", "needs", "job"}` and `{"withdraw"}` in; `{"id", "pid"}` and `{"id", "exit"}` out.
When the socket closes, its user is gone, and it takes every step with it.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from typing import Any

from headrace.sites.processes import die_with_parent

MODULES = {
    "matplotlib": ("matplotlib.pyplot",),
    "mlflow": ("mlflow", "mlflow.tracking", "mlflow.pyfunc", "headrace.registry.ahead"),
    "numpy": ("numpy",),
    "pandas": ("pandas",),
    "pyarrow": ("pyarrow.parquet",),
    "pyspark": ("pyspark.sql",),
    # torch loads its compiler with the first optimizer, in every worker anew.
    "ray": ("ray.train", "ray.train.torch", "torch._dynamo"),
    "scipy": ("scipy",),
    "sklearn": ("sklearn", "sklearn.metrics", "sklearn.linear_model"),
    "torch": ("torch",),
}
"""Libraries that are slow to import and sound to fork after, and what to import of each."""

_ALWAYS = (
    "headrace.executing.sdk",
    "kfp.dsl.executor",
    "headrace.executing.entry",
    "headrace.executing.main",
)


class ForkServer:
    """The server's loop."""

    def __init__(self, channel: socket.socket, libraries: list[str]) -> None:
        self.channel = channel
        self.missing = list(libraries)
        self.ready: set[str] = set()
        self.waiting: list[dict[str, Any]] = []
        self.children: dict[int, tuple[int, bool]] = {}
        self.received = b""
        self.wake, wake_in = os.pipe()
        os.set_blocking(wake_in, False)
        os.set_blocking(self.wake, False)
        signal.set_wakeup_fd(wake_in)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # A terminal's Ctrl-C reaches the whole group; ending steps is the runner's affair.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def serve(self) -> None:
        """Work until the channel closes."""
        while True:
            self.fork_what_can()
            # With imports left to do, only look whether somebody called; else wait.
            pause = 0 if self.missing else None
            channel = self.channel.fileno()
            readable, _, _ = select.select([channel, self.wake], [], [], pause)
            if self.wake in readable:
                os.read(self.wake, 4096)
                self.reap()
            if channel in readable and not self.receive():
                return self.end()
            if not readable and self.missing:
                self.import_next()

    def receive(self) -> bool:
        try:
            data = self.channel.recv(2**16)
        except ConnectionError:
            return False
        self.received += data
        *lines, self.received = self.received.split(b"\n")
        for line in lines:
            self.take(json.loads(line))
        return bool(data)

    def take(self, message: dict[str, Any]) -> None:
        if "withdraw" not in message:
            self.waiting.append(message)
            return
        number = message["withdraw"]
        self.waiting = [one for one in self.waiting if one["id"] != number]
        for pid, (started, _) in self.children.items():
            if started == number:
                _kill_group(pid)

    def import_next(self) -> None:
        # What somebody waits for goes first: steps that were reused need nothing imported.
        waited = [one for request in self.waiting for one in request["needs"]]
        library = next((one for one in waited if one in self.missing), self.missing[0])
        self.missing.remove(library)
        try:
            for module in MODULES[library]:
                importlib.import_module(module)
        except Exception:
            # Not installed, or broken: a step that really needs it says so in its own words.
            print(f"headrace: {library} was not imported ahead", file=sys.stderr)
        self.ready.add(library)

    def fork_what_can(self) -> None:
        for request in [one for one in self.waiting if self.ready.issuperset(one["needs"])]:
            self.waiting.remove(request)
            self.fork(request)

    def fork(self, request: dict[str, Any]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self.become(request["job"])
        self.children[pid] = (request["id"], bool(request["job"].get("outlives")))
        self.send({"id": request["id"], "pid": pid})

    def become(self, job: dict[str, Any]) -> None:
        """Be the step, and never return."""
        code = 70
        try:
            os.setsid()
            if not job.get("outlives"):
                die_with_parent()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.channel.close()
            from headrace.executing.main import main

            code = main(job)
        except BaseException:
            traceback.print_exc()
        finally:
            try:
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)

    def reap(self) -> None:
        while self.children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number, _ = self.children.pop(pid, (None, False))
            if number is not None:
                self.send({"id": number, "exit": os.waitstatus_to_exitcode(status)})

    def send(self, message: dict[str, Any]) -> None:
        try:
            self.channel.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.end()

    def end(self) -> None:
        """Take the steps along: whoever asked for them is gone.

        What is to outlive the run and still waits for its imports gets them from a process that
        nobody waits for.
        """
        for pid, (_, outlives) in self.children.items():
            if not outlives:
                _kill_group(pid)
        late = [one for one in self.waiting if one["job"].get("outlives")]
        if late and os.fork() == 0:
            os.setsid()
            self.channel.close()
            for request in late:
                while not self.ready.issuperset(request["needs"]) and self.missing:
                    self.import_next()
                if os.fork() == 0:
                    self.become(request["job"])
        os._exit(0)


def _kill_group(pid: int) -> None:
    # A child that was forked just now may not lead its group yet.
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


def main() -> None:
    """The command line: a socket's descriptor, then libraries."""
    descriptor, *libraries = sys.argv[1:]
    channel = socket.socket(fileno=int(descriptor))
    for module in _ALWAYS:
        importlib.import_module(module)
    ForkServer(channel, libraries).serve()


if __name__ == "__main__":
    main()
