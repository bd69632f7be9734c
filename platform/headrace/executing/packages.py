"""What a component would have pip install: nothing is, at run time, so it must be there."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from headrace.core.errors import EnvironmentProblem


def require(wanted: Iterable[str], *, remedy: str) -> None:
    """Refuse a step whose packages are not installed here, or in other versions.

    Args:
        wanted: Requirements, as pip takes them.
        remedy: What to do about those that are missing.

    Raises:
        EnvironmentProblem: Some are missing.
    """
    missing = [one for one in wanted if not _installed(one)]
    if missing:
        raise EnvironmentProblem(
            f"The step wants packages that are not installed: {', '.join(missing)}.",
            hint=f"nothing is installed at run time; {remedy}",
        )


def _installed(requirement: str) -> bool:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        parsed = Requirement(requirement)
        unneeded = parsed.marker is not None and not parsed.marker.evaluate()
        return unneeded or parsed.specifier.contains(version(parsed.name), prereleases=True)
    except (InvalidRequirement, PackageNotFoundError):
        return False
