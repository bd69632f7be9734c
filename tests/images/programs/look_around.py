"""Runs in an image's pod: what is it like in here? It answers in JSON."""

import importlib
import importlib.metadata
import importlib.util
import json
import os
import pwd
import shutil
import subprocess
import sys
import time
from pathlib import Path


def can_write(folder):
    try:
        (Path(folder) / "mark").touch()
    except OSError as error:
        return os.strerror(error.errno)
    return True


def seconds(module):
    began = time.monotonic()
    importlib.import_module(module)
    return round(time.monotonic() - began, 2)


def without_bytecode(package):
    """How many of its modules would be compiled at each start."""
    root = importlib.import_module(package).__path__[0]
    found = (Path(importlib.util.cache_from_source(str(one))) for one in Path(root).rglob("*.py"))
    return sum(not one.exists() for one in found)


def said(*command):
    """What a command writes."""
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


folders = ("/", "/opt", "/tmp", "/s3", "/work")
distributions = importlib.metadata.distributions()
answer = {
    "user": [os.getuid(), os.getgid(), pwd.getpwuid(os.getuid()).pw_name],
    "home": [os.environ["HOME"], str(Path.home()), os.getcwd()],
    "writable": {folder: can_write(folder) for folder in folders},
    "python": sys.executable,
    "installers": [name for name in ("pip", "pip3", "uv") if shutil.which(name)],
    "shell": said("sh", "-ec", "cat /dev/null; echo $0"),
    "login": said("bash", "-lc", "command -v python"),
    "command": shutil.which("headrace"),
    "record": json.loads(Path("/opt/headrace/versions.json").read_text()),
    "installed": {one.metadata["Name"].lower(): one.version for one in distributions},
    "uncompiled": {name: without_bytecode(name) for name in ("headrace", "kfp", "mlflow", "json")},
    "imports": {name: seconds(name) for name in sys.argv[1:]},
}
print(f"\nanswer: {json.dumps(answer)}", flush=True)
