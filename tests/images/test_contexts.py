"""What lies in a build's folder, and what the last layer is made of."""

from __future__ import annotations

import json
import marshal
from pathlib import Path

import pytest
from building.planning import plan
from building.stages import write_context

from .conftest import make_wheel


def test_a_context_is_the_same_on_every_machine(sources, tmp_path):
    write_context(plan(sources)["spark"].libraries.files, tmp_path / "context")
    found = {
        path.relative_to(tmp_path / "context").as_posix(): (
            oct(path.stat().st_mode & 0o777),
            path.stat().st_mtime,
        )
        for path in (tmp_path / "context").rglob("*")
    }
    assert found == {
        "Dockerfile": ("0o644", 315532800),
        "fetch-jars.py": ("0o644", 315532800),
        "jars.lock": ("0o644", 315532800),
        "locked": ("0o755", 315532800),
        "locked/1-locked.txt": ("0o644", 315532800),
        "spark-entrypoint": ("0o755", 315532800),
    }


def test_the_last_layer(sources, tmp_path, load):
    wheel = make_wheel(
        tmp_path,
        **{
            "headrace/cli.py": "def main(): ...\n",
            "headrace-0.1.0.dist-info/entry_points.txt": "[console_scripts]\n"
            "headrace = headrace.cli:main\n",
        },
    )
    from dataclasses import replace

    write_context(plan(replace(sources, wheel=wheel))["python"].whole.files, tmp_path / "from")
    packages = Path("/opt/venv/lib/python3.12/site-packages")
    load("headrace/finish.py").install(tmp_path / "from/wheel", tmp_path / "root", packages)
    placed = tmp_path / "root/opt/venv"
    found = sorted(one.relative_to(placed).as_posix() for one in placed.rglob("*") if one.is_file())
    library = "lib/python3.12/site-packages"
    assert [one for one in found if "__pycache__" not in one] == [
        "bin/headrace",
        f"{library}/headrace-0.1.0.dist-info/entry_points.txt",
        f"{library}/headrace/__init__.py",
        f"{library}/headrace/cli.py",
    ]
    assert (placed / "bin/headrace").read_text() == (
        "#!/opt/venv/bin/python\nimport sys\n\nfrom headrace.cli import main\n\nsys.exit(main())\n"
    )
    assert (placed / "bin/headrace").stat().st_mode & 0o777 == 0o755
    (bytecode,) = (placed / library / "headrace/__pycache__").glob("cli.*.pyc")
    content = bytecode.read_bytes()
    assert content[4:8] == b"\x01\0\0\0", "by hash, never checked: no time of the source matters"
    assert marshal.loads(content[16:]).co_filename == f"{packages}/headrace/cli.py"


def test_an_image_that_holds_something_else_is_refused(load):
    check = load("headrace/finish.py").check
    promised = {"headrace": "0.1.0", "python": "3.12", "torch": "2.15.0"}
    check({"headrace": "0.1.0", "python": "3.12.1", "torch": "2.15.0"}, promised)
    with pytest.raises(SystemExit) as ended:
        check({"headrace": "0.1.0", "python": "3.11.9", "torch": "2.15.0+cpu"}, promised)
    assert str(ended.value) == (
        "python is 3.11.9, but the lock says 3.12; torch is 2.15.0+cpu, but the lock says 2.15.0"
    )


def test_what_an_image_is_checked_against(sources):
    given = json.loads(plan(sources)["python"].whole.files["expected.json"])
    assert given == {
        "image": "python",
        "versions": {
            "headrace": "0.1.0",
            "kfp": "2.17.0",
            "mlflow": "3.17.2",
            "numpy": "2.5.5",
            "obstore": "0.12.1",
            "pandas": "3.1.1",
            "pyarrow": "25.0.1",
            "python": "3.12",
            "scikit-learn": "1.9.1",
        },
    }
