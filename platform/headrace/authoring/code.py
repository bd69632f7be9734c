"""What code a step depends on, found by reading source files, never by importing them.

A step's digest covers its function, everything at module level that the function reaches
by name, and every project module that this code imports. Editing the trainer therefore
leaves the Spark step's digest alone, even where both stand in one file; comments and
formatting change nothing.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from headrace.authoring.reaching import reachable
from headrace.core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class StepCode:
    """The code behind one function."""

    target: str
    """The function's reference, `module:function`, as seen from the source root."""
    digest: str
    """`sha256:…` of everything the function depends on in the project."""
    files: tuple[Path, ...]
    """The project files that were read, the function's own first."""
    libraries: frozenset[str]
    """Top-level names of the modules from elsewhere that this code imports."""


def source_root(file: Path) -> Path:
    """The folder that must be on `sys.path` for `file` to be importable.

    The nearest folder upwards that is not itself a package (has no `__init__.py`), the
    same rule by which pytest finds a test's root.
    """
    folder = file.resolve().parent
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


def module_name(file: Path, root: Path) -> str:
    """The dotted name of `file` as imported from `root`."""
    parts = file.resolve().relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def step_code(file: Path, function: str) -> StepCode:
    """Read the code behind `function` in `file`.

    Raises:
        UsageError: The file does not define that function at module level.
    """
    file = file.resolve()
    root = source_root(file)
    walk = _Walk(root, package=_installed_package(file, root))
    reached = reachable(
        _parse(file),
        function,
        project=lambda node: any(map(walk.files, _imported(node, file, root))),
    )
    if reached is None:
        raise UsageError(
            f"The function {function!r} is not defined at module level.",
            where=str(file),
            hint="a step is found again by its name: move it out of any function or class",
        )
    walk.statements(file, reached)
    for package in _packages(file, root):
        walk.file(package)
    texts = [f"{function}\n" + "\n".join(ast.unparse(one) for one in reached)]
    others = sorted(walk.seen - {file})
    texts += [f"{module_name(one, root)}\n{ast.unparse(_parse(one))}" for one in others]
    if file in walk.seen:  # something imports this very module: all of it counts
        texts.append(ast.unparse(_parse(file)))
    data = [one for one in walk.data_files() if one != file]
    texts += [f"{one.name}\n{_file_digest(one)}" for one in data]
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    return StepCode(
        target=f"{module_name(file, root)}:{function}",
        digest=f"sha256:{digest}",
        files=(file, *others, *data),
        libraries=frozenset(walk.libraries),
    )


def embedded_code(source: str, root: Path | None) -> tuple[str, frozenset[str]]:
    """What a component that carries its own source depends on beside it.

    Returns:
        A digest of the project modules below `root` that the source imports, and the
        top-level names of the modules from elsewhere.
    """
    walk = _Walk(root or Path("/nonexistent"))
    place = walk.root / "ephemeral_component.py"
    for statement in ast.parse(source).body:
        for node in ast.walk(statement):
            for name in _imported(node, place, walk.root):
                walk.module(name)
    texts = [f"{one.name}\n{ast.unparse(_parse(one))}" for one in sorted(walk.seen)]
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest() if texts else ""
    return digest, frozenset(walk.libraries)


def project_code(target: str, root: Path) -> StepCode | None:
    """The code behind `module:function` below `root`, or None if it is not there."""
    module, _, function = target.partition(":")
    file = _module_file(module, root)
    return step_code(file, function) if file else None


def imported_with(target: str, root: Path) -> tuple[Path, ...]:
    """The project's modules that are imported with the module of `module:function`.

    They have to be there, whether the function reaches them or not: importing a module runs all
    of its top level.
    """
    file = _module_file(target.partition(":")[0], root)
    if file is None:
        return ()
    walk = _Walk(root, package=_installed_package(file, root))
    for one in (file, *_packages(file, root)):
        walk.file(one)
    return tuple(sorted(walk.seen))


def _installed_package(file: Path, root: Path) -> str:
    """The package of a file that is installed: what lies beside it there is not its project's."""
    installed = root.name in ("site-packages", "dist-packages")
    return module_name(file, root).partition(".")[0] if installed else ""


def _module_file(module: str, root: Path) -> Path | None:
    path = root.joinpath(*module.split("."))
    return next(
        (one for one in (path.with_suffix(".py"), path / "__init__.py") if one.exists()), None
    )


class _Walk:
    """Follows imports through the project's files.

    Args:
        root: The folder of the project's modules.
        package: The only package there that is the project's; all of them if it is empty.
    """

    def __init__(self, root: Path, package: str = "") -> None:
        self.root = root
        self.package = package
        self.seen: set[Path] = set()
        self.libraries: set[str] = set()
        self.strings: set[str] = set()
        self.folders: set[Path] = set()

    def file(self, file: Path) -> None:
        if file in self.seen:
            return
        self.seen.add(file)
        self.statements(file, _parse(file).body)

    def statements(self, file: Path, statements: Iterable[ast.stmt]) -> None:
        self.folders.add(file.parent)
        for statement in statements:
            for node in ast.walk(statement):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    self.strings.add(node.value)
                for name in _imported(node, file, self.root):
                    self.module(name)

    def module(self, name: str) -> None:
        """Follow `a.b.c`: the project's file for it, and the packages it lies in."""
        files = self.files(name)
        if files:
            for file in files:
                self.file(file)
        else:
            self.libraries.add(name.partition(".")[0])

    def files(self, name: str) -> list[Path]:
        """The project's files for a module; none if it is from elsewhere."""
        if self.package and name.partition(".")[0] != self.package:
            return []
        return list(_module_files(name, self.root))

    def data_files(self) -> list[Path]:
        """Files by the code that it spells out and does not import: a query, a schema, a script.

        `HERE / "query.sql"`, `HERE / "queries/a.sql"` and `HERE / "queries" / "a.sql"`.
        """
        words = [one for one in self.strings if _may_be_path(one)]
        folders = {*self.folders}
        folders |= {
            inner for one in self.folders for word in words if (inner := one / word).is_dir()
        }
        found = {folder / word for folder in folders for word in words if "." in word}
        return sorted(one for one in found - self.seen if one.is_file())


def _file_digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _may_be_path(text: str) -> bool:
    return text.isprintable() and 0 < len(text) < 200 and not text.startswith(("/", "."))


def _packages(file: Path, root: Path) -> Iterator[Path]:
    folder = file.parent
    while folder != root:
        if (folder / "__init__.py") != file:
            yield folder / "__init__.py"
        folder = folder.parent


def _module_files(name: str, root: Path) -> Iterator[Path]:
    place = root
    for part in name.split("."):
        package, module = place / part / "__init__.py", place / f"{part}.py"
        if package.exists():
            yield package
        elif module.exists():
            yield module
            return
        elif not (place / part).is_dir():
            return
        place = place / part


def _imported(node: ast.AST, file: Path, root: Path) -> Iterator[str]:
    """The dotted names that an import statement may load; a name that is no module is harmless."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = node.module or ""
        if node.level:
            package = module_name(file, root).split(".")
            if file.name != "__init__.py":
                package = package[:-1]
            kept = package[: len(package) - node.level + 1]
            base = ".".join([*kept, base] if base else kept)
        yield base
        if any(_module_files(base, root)):
            yield from (f"{base}.{alias.name}" for alias in node.names)


@lru_cache(maxsize=1024)
def _parse_text(text: str, file: str) -> ast.Module:
    return ast.parse(text, file)


def _parse(file: Path) -> ast.Module:
    try:
        return _parse_text(file.read_text(encoding="utf-8"), str(file))
    except FileNotFoundError as error:
        raise UsageError(
            "A step must stand in a file: its source is read to find what it depends on.",
            where=str(file),
            hint="move the function into a module beside the pipeline",
        ) from error
    except SyntaxError as error:
        raise UsageError(
            f"{error.msg} (line {error.lineno})", where=str(file), hint="mend the syntax error"
        ) from error
