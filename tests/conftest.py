"""What every test starts from: nobody's home, nobody's MLflow, a clean checkout."""

from __future__ import annotations

import os

import pytest


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
