"""What every step's environment has, wherever it runs."""

from __future__ import annotations

PLAIN_VARIABLES = {
    "PYTHONUNBUFFERED": "1",
    "MPLBACKEND": "Agg",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A model's content is the model: not the lock file of the project that made it.
    "MLFLOW_LOG_UV_FILES": "false",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
