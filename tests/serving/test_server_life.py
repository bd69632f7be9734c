"""A server on this machine, from start to end. What is proved here:

it answers once `start` returns, and is found, stopped and listed; a new version takes the port
over under load without one request failing; SIGTERM lets requests under way be answered; what
cannot start leaves nothing; and no process is left when whoever started it is killed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from headrace.core.errors import EnvironmentProblem, UsageError
from headrace.serving import local, processes, records
from headrace.serving.examples import example_request
from headrace.sites.home import Home

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]


def save(folder: Path, version: int) -> None:
    """A model that answers its version, after as many seconds as the row says."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import infer_signature

    class Versioned(mlflow.pyfunc.PythonModel):
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            import time

            time.sleep(float(model_input["seconds"].max()))
            return [version] * len(model_input)

    data = pd.DataFrame({"seconds": [0.0]})
    mlflow.pyfunc.save_model(
        str(folder),
        python_model=Versioned(),
        signature=infer_signature(data, [version]),
        input_example=data,
        pip_requirements=[],
    )


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tracking URI whose registry holds versions 1 (champion) and 2 of `flights`."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    client = MlflowClient(uri, uri)
    client.create_registered_model("flights")
    for version in (1, 2):
        save(folder / f"v{version}", version)
        client.create_model_version("flights", str(folder / f"v{version}"))
    client.set_registered_model_alias("flights", "champion", "1")
    return uri


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home; whatever was started in it is ended."""
    made = Home(root=tmp_path / ".headrace").ensure()
    yield made
    for pid in daemons(made):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def daemons(home: Home) -> list[int]:
    """Every server process of a home, recorded or not."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = path.read_bytes()
            if b"headrace.serving.server" in command and str(home.root).encode() in command:
                pid = int(path.parent.name)
                if processes.start_of(pid) is not None:
                    found.append(pid)
    return found


def begin(home: Home, registry: str, version: str, **more: Any) -> records.ServerRecord:
    uri = f"models:/flights/{version}"
    return local.start(home, "flights", uri, version, tracking_uri=registry, **more)


def ask(port: int, seconds: float = 0.0) -> int:
    """The version that answers a request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        return ask_on(connection, seconds)


def ask_on(connection: http.client.HTTPConnection, seconds: float = 0.0) -> int:
    body = json.dumps({"inputs": {"seconds": [seconds]}})
    connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    told = json.loads(answer.read())
    assert answer.status == 200, told
    return int(told["predictions"][0])


def test_a_server_is_started_found_and_stopped(home: Home, registry: str) -> None:
    record = begin(home, registry, "1", alias="champion")
    assert record == records.ServerRecord(
        name="flights",
        version="1",
        uri="models:/flights/1",
        folder=record.folder,
        alias="champion",
        host="127.0.0.1",
        port=record.port,
        pid=record.pid,
        pid_start=processes.start_of(record.pid) or 0,
        run_id=None,
        started=record.started,
    )
    assert ask(record.port) == 1
    assert os.getsid(record.pid) == record.pid
    assert local.running(home) == [record]
    assert begin(home, registry, "1") == record
    told = subprocess.run(
        example_request(record), shell=True, capture_output=True, text=True, check=True
    )
    assert json.loads(told.stdout) == {"predictions": [1]}
    assert local.stop(home, "flights") is True
    assert daemons(home) == []
    assert local.running(home) == []
    assert local.stop(home, "flights") is False
    assert "Stopped." in local.log_path(home, "flights").read_text()


def test_a_new_version_takes_over_under_load_without_a_failed_request(
    home: Home, registry: str
) -> None:
    old = begin(home, registry, "1")
    seen: list[int] = []
    failures: list[BaseException] = []
    done = threading.Event()

    def load(keep: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", old.port, timeout=30)
        while not done.is_set():
            try:
                seen.append(ask_on(connection))
            except (OSError, http.client.HTTPException, AssertionError) as error:
                failures.append(error)
            if not keep:
                connection.close()
            time.sleep(0.002)
        connection.close()

    threads = [threading.Thread(target=load, args=(at % 2 == 0,)) for at in range(4)]
    for thread in threads:
        thread.start()
    try:
        new = begin(home, registry, "2")
        time.sleep(0.5)
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert (new.port, new.version) == (old.port, "2")
    assert set(seen) == {1, 2}
    # Once old and new share the port for a moment; then only the new one is there.
    assert seen[-1] == 2
    assert daemons(home) == [new.pid]
    assert local.running(home) == [new]
    assert local.stop(home, "flights")


def test_two_starts_at_once_make_one_server_of_a_run(
    home: Home, registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headrace.serving.steps import serve

    monkeypatch.setenv("HEADRACE_HOME", str(home.root))
    monkeypatch.setenv("HEADRACE_RUN", "run-1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry)
    with ThreadPoolExecutor() as pool:
        endpoints = list(pool.map(serve, ["flights", "flights"]))
    (record,) = local.running(home)
    assert endpoints == [record.endpoint] * 2
    assert (record.version, record.alias, record.run_id) == ("1", "champion", "run-1")
    assert local.stop_of_run(home, "another") == []
    assert local.stop_of_run(home, "run-1") == ["flights"]
    assert local.running(home) == []


def test_sigterm_lets_a_request_under_way_be_answered(home: Home, registry: str) -> None:
    command = [
        *(sys.executable, "-m", "headrace.serving.server", "--model", "models:/flights/1"),
        *("--tracking-uri", registry, "--run-id", str(home.root)),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        serving = next(line for line in lines if "Serving at" in line)
        port = int(serving.rstrip(".\n").rpartition(":")[2])
        with ThreadPoolExecutor() as pool:
            under_way = pool.submit(ask, port, 1.5)
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            assert under_way.result() == 1
        rest = process.stderr.read()
        assert process.wait(20) == 0
    assert rest.splitlines()[-1].endswith("Stopped.")
    with pytest.raises(ConnectionRefusedError):
        ask(port)


def test_an_alias_is_no_version(registry: str) -> None:
    from headrace.registry.loading import model_folder

    with pytest.raises(UsageError) as refused:
        model_folder("models:/flights@champion", registry)
    assert refused.value.hint == (
        "Resolve the alias first; a server holds one version from start to end."
    )


def test_an_unknown_model_gets_its_near_misses(registry: str) -> None:
    from headrace.registry.loading import model_folder

    with pytest.raises(UsageError) as refused:
        model_folder("models:/flight/1", registry)
    assert refused.value.hint == "Did you mean 'flights'?"


def test_a_port_in_use_is_said_before_anything_starts(home: Home, registry: str) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EnvironmentProblem, match=f"Port {port} is in use by process"):
            begin(home, registry, "1", port=port)
    assert daemons(home) == []


def test_a_server_that_cannot_load_leaves_its_reason_and_nothing_else(
    home: Home, registry: str, tmp_path: Path
) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "gone.py").write_text("class Gone:\n    pass\n")
    save(tmp_path / "broken", 1)
    subprocess.run(
        [
            *(sys.executable, "-c"),
            "import cloudpickle, gone; print(end='');"
            f"open({str(tmp_path / 'broken' / 'python_model.pkl')!r}, 'wb')"
            ".write(cloudpickle.dumps(gone.Gone()))",
        ],
        cwd=tmp_path / "code",
        env=os.environ | {"PYTHONPATH": str(tmp_path / "code")},
        check=True,
    )
    with pytest.raises(EnvironmentProblem) as refused:
        local.start(home, "broken", str(tmp_path / "broken"), "0")
    error = refused.value
    assert error.what.splitlines()[0] == "The server for broken ended before it was ready."
    assert "ModuleNotFoundError: No module named 'gone'" in error.what
    assert error.where == (str(home.servers / "broken.log"),)
    assert "code_paths" in error.hint
    assert (daemons(home), local.running(home)) == ([], [])


def test_a_server_whose_starter_is_killed_ends(home: Home, registry: str) -> None:
    code = (
        "import sys; from pathlib import Path; from headrace.sites.home import Home;"
        "from headrace.serving.local import start;"
        "start(Home(root=Path(sys.argv[1])), 'flights', 'models:/flights/1', '1',"
        " tracking_uri=sys.argv[2])"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(home.root), registry]) as starter:
        wait_for(lambda: daemons(home))
        starter.kill()
    wait_for(lambda: not daemons(home))
    assert local.running(home) == []
    assert "Whoever started this server is gone" in local.log_path(home, "flights").read_text()


def test_a_record_of_a_process_that_is_another_now_is_dropped(home: Home) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        try:
            path = home.servers / "flights.json"
            record = records.ServerRecord(
                name="flights",
                version="1",
                uri="models:/flights/1",
                folder="/nowhere",
                alias="",
                host="127.0.0.1",
                port=1,
                pid=other.pid,
                pid_start=(processes.start_of(other.pid) or 0) - 1,
                run_id=None,
                started=0.0,
            )
            records.write(path, record)
            assert local.stop(home, "flights") is False
            records.write(path, record)
            assert local.running(home) == []
            assert not path.exists()
            assert other.poll() is None
        finally:
            other.kill()


def wait_for(condition: Any, seconds: float = 90.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)
