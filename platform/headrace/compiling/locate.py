"""Finding a pipeline by what the user typed, and loading it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.authoring.code import module_name, source_root
from headrace.core.errors import HeadraceError, UsageError, did_you_mean
from headrace.executing import sdk  # noqa: F401  (KFP's SDK, before the user's module imports it)
from headrace.executing.failures import foreign

PIPELINE_FILE = "pipeline.py"


@dataclass(frozen=True, kw_only=True)
class PipelineSource:
    """Where a pipeline is defined."""

    path: Path
    """The Python file, or a compiled pipeline's YAML file."""
    name: str | None
    """Which pipeline of the file, if that was said."""
    typed: str
    """What the user typed."""

    @property
    def compiled(self) -> bool:
        """Whether this is KFP IR already."""
        return self.path.suffix in (".yaml", ".yml")


def find_pipeline(typed: str) -> PipelineSource:
    """Find what `typed` means: a folder, a Python file, `file.py:pipeline`, or compiled YAML.

    Raises:
        UsageError: There is no such file, with the near misses named.
    """
    text, colon, name = typed.rpartition(":")
    path = Path(text if colon and text.endswith(".py") else typed)
    chosen = name if colon and text.endswith(".py") else None
    if path.is_dir():
        inner = path / PIPELINE_FILE
        if not inner.exists():
            others = sorted(one.name for one in path.glob("*.py"))
            raise UsageError(
                f"The folder {typed!r} has no {PIPELINE_FILE}.",
                where=str(path.resolve()),
                hint=f"name the file: {', '.join(str(path / one) for one in others[:3])}"
                if others
                else _pipelines_near(path),
            )
        path = inner
    if not path.exists():
        raise UsageError(
            f"There is no pipeline at {typed!r}.",
            where=str(path.resolve()),
            hint=_pipelines_near(path),
        )
    if path.suffix not in (".py", ".yaml", ".yml"):
        raise UsageError(
            f"{typed!r} is neither Python nor a compiled pipeline.",
            hint="give a folder with a pipeline.py, a .py file, or the YAML of `headrace compile`",
        )
    return PipelineSource(path=path.resolve(), name=chosen, typed=typed)


def _pipelines_near(path: Path) -> str:
    """The near misses of a path, or the pipelines beside it."""
    folder = path.parent if path.parent.is_dir() else Path()
    beside = {str(one.parent) for one in folder.glob(f"*/{PIPELINE_FILE}")}
    beside |= {str(one) for one in folder.glob("*.py")}
    beside |= {str(one.parent) for one in Path().glob(f"pipelines/*/{PIPELINE_FILE}")}
    return did_you_mean(str(path), beside) or "give a folder with a pipeline.py"


def load_pipeline(source: PipelineSource) -> Any:
    """Import the file and return its pipeline, a KFP graph component.

    Raises:
        UsageError: The file does not import, or defines no such pipeline.
    """
    root = source_root(source.path)
    _stand_in(root)
    module = _import(module_name(source.path, root), source.path)
    pipelines = {
        name: one
        for name, one in vars(module).items()
        if type(one).__name__ == "GraphComponent" and not name.startswith("_")
    }
    if source.name:
        if source.name not in pipelines:
            raise UsageError(
                f"{source.path.name} defines no pipeline {source.name!r}.",
                where=str(source.path),
                hint=did_you_mean(source.name, pipelines),
            )
        return pipelines[source.name]
    if len(pipelines) > 1:
        same = pipelines.get(source.path.parent.name) or pipelines.get(source.path.stem)
        if same is None:
            raise UsageError(
                f"{source.path.name} defines {len(pipelines)} pipelines.",
                where=str(source.path),
                hint=f"say which: {source.typed}:{sorted(pipelines)[0]}",
            )
        return same
    if not pipelines:
        raise UsageError(
            f"{source.path.name} defines no pipeline.",
            where=str(source.path),
            hint="decorate a function with @dsl.pipeline(name=…)",
        )
    return next(iter(pipelines.values()))


def _stand_in(root: Path) -> None:
    """Have imports find the project in `root`, and not another's modules of the same names."""
    sys.path[:] = [str(root), *(one for one in sys.path if one != str(root))]
    importlib.invalidate_caches()
    for name in {one.stem for one in root.iterdir()} & sys.modules.keys():
        module = sys.modules[name]
        files = [getattr(module, "__file__", None), *getattr(module, "__path__", ())]
        file = next((one for one in files if one), None)
        if file and not foreign(file) and not Path(file).resolve().is_relative_to(root):
            _forget(name)


def _import(name: str, path: Path) -> Any:
    loaded = sys.modules.get(name)
    if loaded is not None and Path(str(getattr(loaded, "__file__", ""))).resolve() != path:
        _forget(name.partition(".")[0])
    try:
        return importlib.import_module(name)
    except HeadraceError:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise _not_importable(path, error) from error


def _forget(package: str) -> None:
    for name in [one for one in sys.modules if one == package or one.startswith(f"{package}.")]:
        del sys.modules[name]


def _not_importable(path: Path, error: BaseException) -> UsageError:
    places = [
        f"{one.filename}:{one.lineno} in {one.name}: {one.line}"
        for one in traceback.extract_tb(error.__traceback__)
        if not foreign(one.filename)
    ][-3:]
    if isinstance(error, SyntaxError):
        places.append(f"{error.filename}:{error.lineno}: {(error.text or '').strip()}")
    hint = "mend the error in the pipeline's file"
    if isinstance(error, ModuleNotFoundError):
        hint = f"install the package that has {error.name!r}, or mend the import"
    if "schema_title" in str(error) and "annotations" in path.read_text().partition("import")[2]:
        hint = "KFP reads a pipeline's annotations as they are: take `from __future__ import "
        hint += "annotations` out of the file with @dsl.pipeline (steps may keep it)"
    return UsageError(
        f"The pipeline cannot be loaded: {type(error).__name__}: {error}",
        where=places or [str(path)],
        hint=hint,
    )
