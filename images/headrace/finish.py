"""Makes an image's last layer: Headrace, and a record of what the image holds.

Runs inside of a build, with the image's own Python. What it writes below `root` is laid over the
image as it is.
"""

from __future__ import annotations

import configparser
import importlib.metadata
import json
import platform
import py_compile
import re
import shutil
import sys
import sysconfig
from pathlib import Path

VENV = Path("/opt/venv")
RECORD = Path("opt/headrace/versions.json")
SCRIPT = """#!{venv}/bin/python
import sys

from {module} import {function}

sys.exit({function}())
"""


def main() -> None:
    """Lay out the layer and check the record against what the lock promised."""
    given, root = Path(sys.argv[1]), Path(sys.argv[2])
    packages = Path(sysconfig.get_path("purelib"))
    install(given / "wheel", root, packages)
    promised = json.loads((given / "expected.json").read_text(encoding="utf-8"))
    sys.path.insert(0, str(root / packages.relative_to("/")))
    record = {"image": promised["image"], **versions(promised["versions"])}
    check(record, promised["versions"])
    (root / RECORD).parent.mkdir(parents=True, exist_ok=True)
    (root / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record))


def install(wheel: Path, root: Path, packages: Path) -> None:
    """Headrace's files, their bytecode and its command."""
    target = root / packages.relative_to("/")
    shutil.copytree(wheel, target)
    for source in sorted(target.rglob("*.py")):
        # The names in tracebacks are those of the image, not those of the build.
        py_compile.compile(
            str(source),
            dfile=f"/{source.relative_to(root)}",
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    listed = configparser.ConfigParser()
    listed.read(next(target.glob("headrace-*.dist-info/entry_points.txt")))
    for name, place in listed["console_scripts"].items():
        module, _, function = place.partition(":")
        script = root / VENV.relative_to("/") / "bin" / name
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(SCRIPT.format(venv=VENV, module=module, function=function))
        script.chmod(0o755)


def versions(wanted: dict[str, str]) -> dict[str, str]:
    """What is really installed, under the names that are wanted, and Java where there is one."""
    found = {name: version(name) for name in sorted(wanted)}
    release = Path("/opt/java/release")
    if release.exists() and (match := re.search(r'JAVA_VERSION="(.+)"', release.read_text())):
        found["java"] = match[1]
    return found


def version(name: str) -> str:
    """One version: Python's, that of Hadoop's jars within Spark, or a package's."""
    if name == "python":
        return platform.python_version()
    if name == "hadoop":
        jar = next(Path("/opt/spark/jars").glob("hadoop-client-api-*.jar"))
        return jar.stem.removeprefix("hadoop-client-api-")
    return importlib.metadata.version(name)


def check(record: dict[str, str], promised: dict[str, str]) -> None:
    """End the build if the image holds anything but what it was said to hold."""
    wrong = [
        f"{name} is {record[name]}, but the lock says {version}"
        for name, version in promised.items()
        if record[name] != version
        and not (name == "python" and record[name].startswith(version + "."))
    ]
    if wrong:
        sys.exit("; ".join(wrong))


if __name__ == "__main__":
    main()
