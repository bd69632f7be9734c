"""What every test starts from: nobody's home, nobody's MLflow, a clean checkout."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytest_plugins = ["tests.site"]


@pytest.fixture(scope="session", autouse=True)
def nobodys_environment(tmp_path_factory):
    """MLflow's default store would be files in the current folder."""
    patch = pytest.MonkeyPatch()
    for name in [one for one in os.environ if one.startswith(("HEADRACE_", "MLFLOW_"))]:
        patch.delenv(name)
    store = tmp_path_factory.mktemp("mlflow")
    patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/mlflow.db")
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def nothing_stays(tmp_path_factory):
    """What a test put into the environment and which projects it imported ends with it.

    Two tests' projects have modules of the same names.
    """
    environment, path = dict(os.environ), list(sys.path)
    yield
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:] = path
    projects = (str(tmp_path_factory.getbasetemp()), str(Path(__file__).parent / "golden"))
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(projects):
            del sys.modules[name]
