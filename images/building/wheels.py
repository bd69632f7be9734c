"""Which of a package's files an installer takes, told by their names as PEP 425 has it."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from building.failures import BuildProblem

MACHINES = ("x86_64", "aarch64")
"""The machines that images are built for."""
GLIBC = 36
"""The newest glibc that a wheel may want, 2.36: that of Debian 12, which the base image is made of.
Where a base has a newer one, an installer may take another wheel of the same package."""

_LEGACY = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17}
_ORDERED: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Eq: lambda a, b: a == b,
    ast.NotEq: lambda a, b: a != b,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}


def chosen(package: Mapping[str, Any], *, python: str, machine: str) -> Mapping[str, Any] | None:
    """The file that is installed: the best wheel, else the sources; None if it is not wanted there.

    Args:
        package: A package of a `pylock.toml`.
        python: Python's minor version: `3.12`.
        machine: One of `MACHINES`.

    Raises:
        BuildProblem: It has neither a wheel that fits nor sources.
    """
    if not wanted(package.get("marker", ""), python=python, machine=machine):
        return None
    order = {tag: rank for rank, tag in enumerate(tags(python, machine))}
    ranked = [
        (min(ranks), wheel)
        for wheel in package.get("wheels", [])
        if (ranks := [order[tag] for tag in file_tags(file_name(wheel)) if tag in order])
    ]
    if ranked:
        return min(ranked, key=lambda one: one[0])[1]
    if "sdist" in package:
        found: Mapping[str, Any] = package["sdist"]
        return found
    raise BuildProblem(
        f"{package['name']} {package['version']} has no file for Python {python} on {machine}."
    )


def file_name(file: Mapping[str, Any]) -> str:
    """A file's name, from where it lies."""
    return str(file.get("name") or file["url"].rpartition("/")[2])


def file_tags(name: str) -> list[tuple[str, str, str]]:
    """The tags in a wheel's name, which may have several in each place."""
    pythons, abis, platforms = name.removesuffix(".whl").split("-")[-3:]
    return [
        (python, abi, platform)
        for python in pythons.split(".")
        for abi in abis.split(".")
        for platform in platforms.split(".")
    ]


def tags(python: str, machine: str) -> Iterator[tuple[str, str, str]]:
    """What a CPython on Linux can use, the best first."""
    minor = int(python.partition(".")[2])
    here, platforms = f"cp3{minor}", [*_platforms(machine)]
    own = [(here, here), (here, "abi3"), (here, "none")]
    older = [(f"cp3{one}", "abi3") for one in range(minor - 1, 1, -1)]
    plain = [f"py3{minor}", "py3", *(f"py3{one}" for one in range(minor - 1, -1, -1))]
    for tag, abi in [*own, *older, *((one, "none") for one in plain)]:
        yield from ((tag, abi, platform) for platform in platforms)
    yield from ((tag, "none", "any") for tag in (here, *plain))


def _platforms(machine: str) -> Iterator[str]:
    for glibc in range(GLIBC, 4, -1):
        yield f"manylinux_2_{glibc}_{machine}"
        yield from (f"{old}_{machine}" for old, same in _LEGACY.items() if same == glibc)
    yield f"linux_{machine}"


def wanted(marker: str, *, python: str, machine: str) -> bool:
    """Whether a marker (PEP 508) lets a package be installed.

    >>> wanted("sys_platform == 'linux' and python_version < '3.12'", python="3.12", machine="")
    False
    """
    facts = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": machine,
        "os_name": "posix",
        "extra": "",
    }
    return not marker or _holds(ast.parse(marker, mode="eval").body, facts)


def _holds(node: ast.expr, facts: Mapping[str, str]) -> bool:
    # A marker's grammar is a part of Python's own.
    match node:
        case ast.BoolOp(op=ast.And()):
            return all(_holds(one, facts) for one in node.values)
        case ast.BoolOp(op=ast.Or()):
            return any(_holds(one, facts) for one in node.values)
        case ast.Compare(ops=[sign], comparators=[right]):
            return _compared(node.left, sign, right, facts)
        case _:
            raise BuildProblem(f"The lock has a marker that is not understood: {ast.unparse(node)}")


def _compared(left: ast.expr, sign: ast.cmpop, right: ast.expr, facts: Mapping[str, str]) -> bool:
    names = [one.id for one in (left, right) if isinstance(one, ast.Name)]
    values: list[Any] = [
        facts.get(one.id) if isinstance(one, ast.Name) else ast.literal_eval(one)
        for one in (left, right)
    ]
    if None in values:
        raise BuildProblem(f"The lock has a marker that is not understood: {names[0]}")
    if names[0].startswith("python_") and not isinstance(sign, ast.In | ast.NotIn):
        values = [_version(one) for one in values]
    return _ORDERED[type(sign)](*values)


def _version(text: str) -> tuple[int, ...]:
    numbers = [int(one) for one in re.findall(r"\d+", text)]
    return tuple([*numbers, 0, 0][:3])
