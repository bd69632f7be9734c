"""What a fault may hit, and how it is hit: for real, by the kernel or by Kubernetes.

Processes inside of pods are found on this machine, so these tests need a cluster whose only
node is the machine they run on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.running import Client
from tests.site import TESTBED

from headrace.cluster import labels
from headrace.cluster.client import Manifest

OUTAGE_SECONDS = 20.0
_RUN = Path("/var/lib/testbed/run")


@dataclass(frozen=True, kw_only=True)
class Victim:
    """One thing that a fault may hit."""

    name: str
    """What it is."""
    step: str
    """The step during which it is hit."""
    hit: Callable[[Client, str], str]
    """Hits it, given the run's id; says what it did, or nothing while there is no such thing."""
    survived: bool
    """Whether the run must come to its end all the same."""


def pods(client: Client, run: str, role: str) -> list[Manifest]:
    """The running pods of a role."""
    wanted = labels.selector({labels.RUN: labels.value(run), labels.ROLE: role})
    found = client.site.cluster.list("pods", wanted)
    return [one for one in found if one.get("status", {}).get("phase") == "Running"]


def _delete(role: str, step: str = "") -> Callable[[Client, str], str]:
    """Deletes a pod of a role at once, as a lost node would."""

    def hit(client: Client, run: str) -> str:
        for pod in pods(client, run, role):
            if not step or pod["metadata"]["annotations"].get(labels.STEP_PATH) == step:
                name = pod["metadata"]["name"]
                client.site.cluster.delete("pods", name, grace=0)
                return f"pod {name} deleted"
        return ""

    return hit


def _kill_in(role: str, step: str, program: str) -> Callable[[Client, str], str]:
    """SIGKILL for a program inside a pod."""

    def hit(client: Client, run: str) -> str:
        for pod in pods(client, run, role):
            if pod["metadata"]["annotations"].get(labels.STEP_PATH) == step:
                for pid in processes(pod, program):
                    os.kill(pid, signal.SIGKILL)
                    return f"{program} in {pod['metadata']['name']} killed"
        return ""

    return hit


def processes(pod: Manifest, program: str) -> list[int]:
    """The processes of this machine that run a program inside a pod."""
    uid = pod["metadata"]["uid"]
    found = []
    for place in Path("/proc").iterdir():
        with suppress(OSError):
            if place.name.isdigit() and _in_pod(place, uid):
                words = (place / "cmdline").read_bytes().split(b"\0")
                if Path(words[0].decode()).name == program:
                    found.append(int(place.name))
    return found


def _in_pod(place: Path, uid: str) -> bool:
    cgroup = (place / "cgroup").read_text()
    return uid in cgroup or uid.replace("-", "_") in cgroup


def _client(client: Client, run: str) -> str:
    start = next(one for one in client.events() if one["type"] == "run_started")
    os.kill(start["pid"], signal.SIGKILL)
    return "the client killed"


def _part(name: str, what: str) -> Callable[[Client, str], str]:
    """SIGKILL for a part of the cluster, which is back after 20 s."""

    def hit(client: Client, run: str) -> str:
        pid = int((_RUN / f"{name}.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        time.sleep(OUTAGE_SECONDS)
        subprocess.run([str(TESTBED), "up"], check=True, capture_output=True)
        return f"{what} killed, back after {OUTAGE_SECONDS:.0f} s"

    return hit


VICTIMS = (
    Victim(name="client during Spark", step="prepare", hit=_client, survived=False),
    Victim(name="client during Ray", step="train", hit=_client, survived=False),
    Victim(name="step's pod (Spark)", step="prepare", hit=_delete("step", "prepare"),
           survived=False),
    Victim(name="step's pod (Ray)", step="train", hit=_delete("step", "train"), survived=False),
    Victim(name="Spark driver's JVM", step="prepare", hit=_kill_in("step", "prepare", "java"),
           survived=False),
    Victim(name="Spark executor", step="prepare", hit=_delete("spark-executor"), survived=True),
    Victim(name="Ray head", step="train", hit=_delete("ray-head"), survived=False),
    Victim(name="Ray worker", step="train", hit=_delete("ray-worker"), survived=True),
    Victim(name="S3 store during Spark", step="prepare", hit=_part("s3", "S3"), survived=True),
    Victim(name="S3 store during Ray", step="train", hit=_part("s3", "S3"), survived=True),
    Victim(name="API server during Spark", step="prepare",
           hit=_part("kube-apiserver", "the API server"), survived=True),
    Victim(name="API server during Ray", step="train",
           hit=_part("kube-apiserver", "the API server"), survived=True),
)  # fmt: skip
