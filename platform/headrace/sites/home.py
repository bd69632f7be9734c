"""The local site's folder: one place for artifacts, MLflow's files, run records and logs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

HOME_VARIABLE = "HEADRACE_HOME"
PROJECT_MARKERS = (".headrace", "pyproject.toml", ".git")


@dataclass(frozen=True, kw_only=True)
class Home:
    """The folder `.headrace` of a project and the names inside it."""

    root: Path
    """Absolute path of the folder."""

    @property
    def artifacts(self) -> Path:
        """Step outputs, `artifacts/RUN/STEP/OUTPUT`; complete once `manifest.json` is there."""
        return self.root / "artifacts"

    @property
    def cache(self) -> Path:
        """A file per step fingerprint that names the manifest holding the result."""
        return self.root / "cache"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of trainings that did not end, a folder per step fingerprint."""
        return self.root / "checkpoints"

    @property
    def code(self) -> Path:
        """Code bundles, unpacked, a folder per digest."""
        return self.root / "code"

    @property
    def runs(self) -> Path:
        """A folder per run: `events.jsonl`, `pipeline.yaml`, `logs/`."""
        return self.root / "runs"

    @property
    def servers(self) -> Path:
        """A record and a log per model server."""
        return self.root / "servers"

    @property
    def database(self) -> Path:
        """MLflow's SQLite database."""
        return self.root / "mlflow.db"

    @property
    def mlartifacts(self) -> Path:
        """MLflow's own artifacts (registered models, plots)."""
        return self.root / "mlartifacts"

    @property
    def tracking_uri(self) -> str:
        """What MLflow's clients take as tracking and registry URI."""
        return f"sqlite:///{quote(str(self.database))}"

    def run(self, run_id: str) -> Path:
        """The folder of one run."""
        return self.runs / run_id

    def ensure(self) -> Home:
        """Make the folder, with a `.gitignore` of its own, and return self."""
        self.root.mkdir(parents=True, exist_ok=True)
        ignore = self.root / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
        return self


def find_home(start: Path, *, explicit: str | Path | None = None) -> Home:
    """The home of the project that `start` lies in.

    An explicit path wins, then the environment's HEADRACE_HOME, then `.headrace` beside
    the nearest project marker above `start`, then `.headrace` in `start` itself.
    """
    chosen = explicit or os.environ.get(HOME_VARIABLE)
    if chosen:
        return Home(root=Path(chosen).expanduser().resolve())
    start = start.resolve()
    folder = start if start.is_dir() else start.parent
    for candidate in (folder, *folder.parents):
        if any((candidate / marker).exists() for marker in PROJECT_MARKERS):
            return Home(root=candidate / ".headrace")
    return Home(root=folder / ".headrace")
