"""The model behind MLServer: `python mlserver_model.py FOLDER PORT`, without worker processes."""

import json
import os
import socket
import sys
import tempfile
from pathlib import Path

FOLDER, PORT = sys.argv[1:]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


settings = {
    "host": "127.0.0.1",
    "http_port": int(PORT),
    "grpc_port": free_port(),
    "metrics_port": free_port(),
    # For a model as small as this, handing requests to a process costs more than it gains.
    "parallel_workers": 0,
    "debug": False,
    "logging_settings": None,
}
model = {
    "name": "model",
    "implementation": "mlserver_mlflow.MLflowRuntime",
    "parameters": {"uri": FOLDER},
}
folder = Path(tempfile.mkdtemp(prefix="mlserver-"))
(folder / "settings.json").write_text(json.dumps(settings))
(folder / "model-settings.json").write_text(json.dumps(model))
program = Path(sys.executable).with_name("mlserver")
os.execv(program, [str(program), "start", str(folder)])
