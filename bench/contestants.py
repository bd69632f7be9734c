"""The servers that are compared: how each is installed, started, asked and ended.

Headrace's, a bare ASGI function and MLflow's run in this environment. Ray Serve, KServe's and
MLServer's are installed into throw-away environments of their own; torch, which they share, they
find in this one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from clients import INFER, INVOCATIONS, Place

HERE = Path(__file__).resolve().parent
START_SECONDS = 300
REQUIREMENTS = {
    "ray serve": ["ray[serve]==2.60.*"],
    "kserve": ["kserve==0.21.*"],
    "mlserver": ["mlserver==1.7.*", "mlserver-mlflow==1.7.*"],
}


@dataclass(kw_only=True)
class Contestant:
    """A server under test."""

    name: str
    """For the table."""
    command: list[str]
    """How to start it; `{port}` is filled in."""
    path: str
    """Where requests go."""
    body: bytes
    """What they hold."""
    port: int = 0
    """Where it listens."""
    process: subprocess.Popen[bytes] | None = None
    """Its first process, in a session of its own."""
    rates: list[float] = field(default_factory=list)
    """Answers per second, a round each."""
    latencies: list[float] = field(default_factory=list)
    """Seconds, of all rounds."""
    memory: float = 0.0
    """MiB of its process tree after the load, shared pages counted once."""

    @property
    def place(self) -> Place:
        """Where to ask it."""
        return Place(host="127.0.0.1", port=self.port, path=self.path, body=self.body)

    def start(self) -> None:
        """Start it and wait until it answers."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [part.format(port=self.port) for part in self.command]
        quiet = subprocess.DEVNULL
        # MLflow's command looks for uvicorn on the path.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        env = os.environ | {"OMP_NUM_THREADS": "1", "PATH": path}
        self.process = subprocess.Popen(
            command, stdout=quiet, stderr=quiet, start_new_session=True, env=env
        )
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise SystemExit(f"{self.name} ended: {' '.join(command)}")
            if self.answers():
                return
            time.sleep(0.2)
        raise SystemExit(f"{self.name} did not answer in time.")

    def answers(self) -> bool:
        """Whether it predicts."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{self.path}",
            self.body,
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.read())
        except OSError:
            return False

    def stop(self) -> None:
        """End its whole session."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(30)
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(self.process.pid, number)
                    self.process.wait(5)
                except (ProcessLookupError, subprocess.TimeoutExpired):
                    continue


def contestants(folder: Path, work: Path, rivals: list[str]) -> list[Contestant]:
    """Who takes part: Headrace first, a bare function, and the rivals that are named.

    Args:
        folder: The model's.
        work: For throw-away environments and settings.
        rivals: Of `mlflow`, `ray serve`, `kserve`, `mlserver`.
    """
    python = sys.executable
    ours = [python, "-m", "headrace.serving.server", "--model", str(folder), "--port", "{port}"]
    bare = [python, str(HERE / "serving.py"), "--bare", str(folder), "--port", "{port}"]
    found = [
        Contestant(name="headrace", command=ours, path="/invocations", body=INVOCATIONS),
        Contestant(name="bare ASGI", command=bare, path="/", body=INVOCATIONS),
        Contestant(name="headrace v2", command=ours, path="/v2/models/model/infer", body=INFER),
    ]
    return [*found, *(_rival(one, folder, work) for one in rivals)]


def _rival(name: str, folder: Path, work: Path) -> Contestant:
    rivals = HERE / "rivals"
    if name == "mlflow":
        served = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder)]
        command = [*served, "-p", "{port}", "--env-manager", "local"]
        return Contestant(name=name, command=command, path="/invocations", body=INVOCATIONS)
    python = environment(work / name.replace(" ", "-"), REQUIREMENTS[name])
    if name == "ray serve":
        command = [str(python), str(rivals / "ray_model.py"), str(folder), "{port}"]
        return Contestant(name=name, command=command, path="/", body=INVOCATIONS)
    if name == "kserve":
        command = [str(python), str(rivals / "kserve_model.py"), str(folder), "{port}"]
    else:
        command = [str(python), str(rivals / "mlserver_model.py"), str(folder), "{port}"]
    return Contestant(name=name, command=command, path="/v2/models/model/infer", body=INFER)


def environment(folder: Path, requirements: list[str]) -> Path:
    """Install packages into an environment of their own; its Python."""
    uv = shutil.which("uv") or str(HERE.parent / ".tools/bin/uv")
    python = folder / "bin" / "python"
    env = os.environ | {"UV_CACHE_DIR": str(folder.parent / "cache")}
    print(f"installing {' '.join(requirements)} ...", file=sys.stderr, flush=True)
    for command in (
        [uv, "venv", "--quiet", "--no-project", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", str(python), *requirements],
    ):
        subprocess.run(command, check=True, env=env)
    packages = next(folder.glob("lib/python3.*/site-packages"))
    (packages / "ours.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python
