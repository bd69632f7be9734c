"""Python, the engines and their versions, Java. Nothing is imported or started to find out."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, requires, version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from headrace.cli.checks.finding import Finding, Health, caution, fine, from_error, wrong
from headrace.core.errors import EnvironmentProblem
from headrace.engines.java import survey

ENGINES = {
    "pipelines": ("kfp",),
    "Spark": ("pyspark", "pyarrow"),
    "Ray": ("ray", "torch"),
    "MLflow": ("mlflow", "scikit-learn", "matplotlib"),
    "serving": ("uvicorn", "httptools", "orjson"),
}
"""What each part of Headrace is made of."""

_EXTRAS = {"Spark": "spark", "Ray": "ray", "MLflow": "mlflow", "serving": "serve"}


def software() -> Iterator[Finding]:
    """Answers on everything that is installed."""
    yield check_python()
    needed = _needed()
    for part, packages in ENGINES.items():
        yield check_part(part, packages, needed)
    if _installed("pyspark"):
        yield check_java()


def check_python() -> Finding:
    """Whether this Python is one that Headrace is made for."""
    own = f"Python {platform.python_version()} ({sys.prefix})"
    wanted = distribution("headrace").metadata["Requires-Python"] or ""
    from packaging.specifiers import SpecifierSet

    if platform.python_version() not in SpecifierSet(wanted, prereleases=True):
        return wrong("Python", f"{own}; Headrace needs {wanted}", "uv sync --python 3.12")
    if sys.prefix == sys.base_prefix:
        return caution("Python", f"{own}, not a virtual environment", "uv sync makes one")
    return fine("Python", own)


def check_part(part: str, packages: tuple[str, ...], needed: dict[str, Requirement]) -> Finding:
    """Whether a part is installed, in versions that Headrace and the packages agree upon."""
    have = {name: found for name in packages if (found := _installed(name))}
    extra = _EXTRAS.get(part)
    remedy = f"uv sync --extra {extra}" if extra else "uv sync"
    if not have:
        if extra is None:
            return wrong(part, f"{packages[0]} is not installed", remedy)
        text = f"{packages[0]} is not installed; only steps that use it need it"
        return Finding(subject=part, health=Health.ABSENT, text=text, remedy=remedy)
    missing = [name for name in packages if name not in have]
    if missing:
        return wrong(part, f"{', '.join(missing)} is missing beside {packages[0]}", remedy)
    quarrels = [
        f"{name} {found}, but Headrace needs {needed[name].specifier}"
        for name, found in have.items()
        if name in needed and not needed[name].specifier.contains(found, prereleases=True)
    ]
    quarrels += [line for name in packages for line in _unmet(name)]
    if quarrels:
        return wrong(part, "; ".join(quarrels[:3]), f"{remedy} --reinstall")
    return fine(part, ", ".join(f"{name} {found}" for name, found in have.items()))


def check_java() -> Finding:
    """Whether Spark finds a Java that it can run on."""
    from headrace.engines.java import find_java

    try:
        java = find_java()
    except EnvironmentProblem as problem:
        return from_error("Java", problem)
    passed_over = [one for one in survey().rejected if one.found_by == "JAVA_HOME"]
    text = f"{java.version} at {java.home} (by {java.found_by})"
    if passed_over:
        return caution("Java", f"{text}; passed over {passed_over[0]}", "mend or unset JAVA_HOME")
    if java.caution:
        return caution("Java", f"{text}: {java.caution}", "set JAVA_HOME to a JDK 17 or 21")
    return fine("Java", text)


def _needed() -> dict[str, Requirement]:
    """What Headrace asks of each package, by its canonical name."""
    found: dict[str, Requirement] = {}
    for line in requires("headrace") or ():
        requirement = Requirement(line)
        if str(requirement.specifier):
            found[canonicalize_name(requirement.name)] = requirement
    return found


def _unmet(name: str) -> Iterator[str]:
    """The requirements of one installed package that are installed in another version."""
    for line in requires(name) or ():
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        found = _installed(requirement.name)
        if found is None:
            yield f"{name} needs {requirement.name}, which is missing"
        elif not requirement.specifier.contains(found, prereleases=True):
            yield f"{name} needs {requirement.name}{requirement.specifier}, not {found}"


def _installed(name: str) -> str | None:
    try:
        # A local part such as +cpu says how it was built, not which version it is.
        return re.sub(r"\+.*", "", version(name))
    except PackageNotFoundError:
        return None
