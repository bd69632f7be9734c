"""Fetches a version's files before a pod's server starts: `python -m headrace.serving.fetching`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from headrace.core.errors import EnvironmentProblem, HeadraceError


def fetch(uri: str, tracking_uri: str, folder: Path, digest: str = "") -> None:
    """Have a version's files in `folder`, all of them or none.

    Args:
        uri: `models:/NAME/VERSION`.
        tracking_uri: Where MLflow is.
        folder: Where the files are to be; what is there is replaced.
        digest: What their digest must be; empty if that is not known.

    Raises:
        UsageError: There is no such version.
        EnvironmentProblem: MLflow cannot be reached, or its files are not those that were
            registered.
    """
    from headrace.registry.digests import model_digest
    from headrace.registry.loading import model_folder

    folder.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that it need not be copied again.
    with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
        before, tempfile.tempdir = tempfile.tempdir, beside
        try:
            found = model_folder(uri, tracking_uri)
        finally:
            tempfile.tempdir = before
        if digest and (got := model_digest(found)) != digest:
            raise EnvironmentProblem(
                f"The files of {uri} are not those that were registered: their digest is {got}.",
                where=tracking_uri,
                hint="something has changed them in MLflow's store; register the model again",
            )
        shutil.rmtree(folder, ignore_errors=True)
        ours = found.is_relative_to(Path(beside).resolve())
        (shutil.move if ours else shutil.copytree)(str(found), str(folder))


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch; the exit code."""
    parser = argparse.ArgumentParser(prog="headrace.serving.fetching", description=__doc__)
    parser.add_argument("uri", help="models:/NAME/VERSION")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--digest", default="", help="what the files' digest must be")
    asked = parser.parse_args(argv)
    tracking_uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    try:
        fetch(asked.uri, tracking_uri, asked.folder, asked.digest)
    except HeadraceError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{asked.uri} lies in {asked.folder}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
