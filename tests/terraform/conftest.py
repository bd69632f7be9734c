"""Terraform, on a copy of the checkout: it writes beside what it reads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
MIRROR = Path("/opt/tf-plugins")
"""Providers, where the registry cannot be reached."""
COPIED = ("terraform", "helm")


@dataclass(frozen=True, kw_only=True)
class Terraform:
    """The program, and the copy of the checkout it works in."""

    root: Path
    """The copy."""
    variables: dict[str, str]
    """The environment."""

    def say(
        self, module: str, *words: str, fails: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a folder below `terraform/`."""
        done = subprocess.run(
            ["terraform", f"-chdir={self.root / 'terraform' / module}", *words],
            capture_output=True, text=True, env={**os.environ, **self.variables},
        )  # fmt: skip
        assert fails == bool(done.returncode), f"{done.stdout}\n{done.stderr}"
        return done

    def begin(self, module: str) -> None:
        """Have a folder's modules and providers at hand."""
        self.say(module, "init", "-input=false", "-no-color")

    def planned(self, module: str, run: str) -> dict[str, Any]:
        """The outputs that a run of a folder's tests has planned."""
        said = self.say(module, "test", "-json", "-verbose").stdout.splitlines()
        found = [json.loads(line) for line in said]
        [plan] = [
            one["test_plan"] for one in found if "test_plan" in one and one["@testrun"] == run
        ]
        return {name: one["after"] for name, one in plan["output_changes"].items()}


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> Terraform:
    """Terraform; without it on the PATH, the test is skipped."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not on the PATH")
    root = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns(".terraform*"))
    settings = root / "terraform.rc"
    mirror = f'filesystem_mirror {{ path = "{MIRROR}" }}' if MIRROR.is_dir() else "direct {}"
    settings.write_text(f"provider_installation {{\n  {mirror}\n}}\n")
    return Terraform(
        root=root,
        variables={
            "TF_CLI_CONFIG_FILE": str(settings),
            "TF_IN_AUTOMATION": "1",
            "CHECKPOINT_DISABLE": "1",
        },
    )
