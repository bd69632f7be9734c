"""A pipeline becomes KFP IR and the bundle of code that its steps need."""

from __future__ import annotations

import inspect
import re
import tempfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from headrace.authoring.code import imported_with, project_code, source_root
from headrace.authoring.components import read_program
from headrace.compiling.bundle import Bundle, make_bundle
from headrace.compiling.locate import PipelineSource, find_pipeline, load_pipeline
from headrace.core.errors import UsageError
from headrace.executing import sdk  # noqa: F401  (KFP without its client)

__all__ = ["Compiled", "ParameterSpec", "compile_pipeline", "find_pipeline", "read_compiled"]

_CHANNEL = re.compile(r"\{\{channel:task=[^;]*;name=([^;]*);")
CODE_VARIABLE = "HEADRACE_CODE"
"""Names the code bundle in a step's environment."""


@dataclass(frozen=True, kw_only=True)
class ParameterSpec:
    """A parameter of a pipeline."""

    type: str
    """KFP's parameter type: STRING, NUMBER_INTEGER, NUMBER_DOUBLE, BOOLEAN, LIST or STRUCT."""
    default: Any
    """The value when none is given; None if there is none."""
    optional: bool
    """Whether it may be left out."""
    description: str
    """From the pipeline's docstring."""


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A pipeline as KFP IR."""

    name: str
    """The pipeline's name."""
    ir: dict[str, Any]
    """KFP's PipelineSpec."""
    platforms: dict[str, Any]
    """KFP's PlatformSpec: what concerns Kubernetes alone. Empty for most pipelines."""
    code: Bundle | None
    """The project's code; None for IR that was compiled elsewhere."""
    code_digest: str
    """Digest of the code; empty if no step of Headrace is in it."""
    text: str
    """The YAML file's content."""

    @property
    def workspace(self) -> dict[str, Any] | None:
        """What the pipeline says of the volume that all steps of a run share, if it has one:
        `size`, and what `kubernetes` alone needs to know.
        """
        config = self.platforms.get("kubernetes", {}).get("pipelineConfig", {})
        found: dict[str, Any] | None = config.get("workspace")
        return found

    @property
    def parameters(self) -> dict[str, ParameterSpec]:
        """The pipeline's parameters, in the order of its signature."""
        found = self.ir["root"].get("inputDefinitions", {}).get("parameters", {})
        return {
            name: ParameterSpec(
                type=one["parameterType"],
                default=_whole(one.get("defaultValue"), one["parameterType"]),
                optional=bool(one.get("isOptional")) or "defaultValue" in one,
                description=one.get("description", ""),
            )
            for name, one in found.items()
        }

    def write(self, path: Path) -> None:
        """Write the YAML file that `kfp run create -f` takes."""
        path.write_text(self.text, encoding="utf-8")


def compile_pipeline(source: PipelineSource | Any) -> Compiled:
    """Compile a pipeline found by `find_pipeline`, or a `@dsl.pipeline` function itself.

    Raises:
        UsageError: The pipeline does not load or KFP refuses it.
    """
    if isinstance(source, PipelineSource):
        if source.compiled:
            return read_compiled(source.path)
        return _compile(load_pipeline(source), source.path)
    return _compile(source, Path(inspect.getfile(source.pipeline_func)).resolve())


def read_compiled(path: Path) -> Compiled:
    """Read a compiled pipeline.

    Raises:
        UsageError: The file is not KFP IR.
    """
    try:
        text = path.read_text(encoding="utf-8")
        documents = [one for one in yaml.load_all(text, Loader=yaml.CSafeLoader) if one]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path.name} is not YAML: {error}", where=str(path)) from error
    known = [one for one in documents if isinstance(one, dict)]
    ir = next((one for one in known if "pipelineInfo" in one and "root" in one), None)
    if ir is None:
        raise UsageError(
            f"{path.name} is not a compiled pipeline.",
            where=str(path),
            hint="compile one: headrace compile pipelines/NAME -o FILE",
        )
    platforms: dict[str, Any] = next((one["platforms"] for one in known if "platforms" in one), {})
    return _compiled(ir, platforms, None, text)


def _compile(pipeline: Any, file: Path) -> Compiled:
    # The specification is a protobuf message that the component owns, and KFP's own writer
    # turns it into the file: only the code's digest is added in between.
    writer = import_module("kfp.compiler.pipeline_spec_builder")
    spec = type(pipeline.pipeline_spec)()
    spec.CopyFrom(pipeline.pipeline_spec)
    root = source_root(file)
    bundle = make_bundle(root, _code_folder(file, root), _imported_modules(spec, root))
    for executor in spec.deployment_spec["executors"].values():
        if "container" in executor and read_program(_plain(executor["container"])):
            known = executor["container"].get_or_create_list("env")
            known.add_struct().update({"name": CODE_VARIABLE, "value": bundle.digest})
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "pipeline.yaml"
        writer.write_pipeline_spec_to_file(
            pipeline_spec=spec,
            pipeline_description=pipeline.description,
            platform_spec=pipeline.platform_spec,
            package_path=str(target),
        )
        compiled = read_compiled(target)
    _refuse_unfinished(compiled.ir, file)
    return Compiled(**{**vars(compiled), "code": bundle})


def _compiled(ir: dict[str, Any], platforms: Any, code: Bundle | None, text: str) -> Compiled:
    digests = {
        variable["value"]
        for executor in ir.get("deploymentSpec", {}).get("executors", {}).values()
        for variable in executor.get("container", {}).get("env", [])
        if variable["name"] == CODE_VARIABLE
    }
    return Compiled(
        name=ir["pipelineInfo"]["name"],
        ir=ir,
        platforms=dict(platforms),
        code=code,
        code_digest=next(iter(digests), code.digest if code else ""),
        text=text,
    )


def _refuse_unfinished(ir: dict[str, Any], file: Path) -> None:
    """KFP leaves some references in texts unresolved; steps would work on that very text."""
    for component in [ir["root"], *ir["components"].values()]:
        for name, task in component.get("dag", {}).get("tasks", {}).items():
            parameters = task.get("inputs", {}).get("parameters", {})
            texts = [one.get("runtimeValue", "") for one in parameters.values()]
            left = _CHANNEL.search(str([texts, task.get("parameterIterator", "")]))
            if left:
                raise UsageError(
                    f"KFP cannot put {left[1]!r} into a text for {name!r}.",
                    where=str(file),
                    hint="annotate it as plain list or dict, or hand it to a step by itself",
                )


def _plain(container: Any) -> dict[str, Any]:
    return {"command": list(container["command"])}


def _code_folder(file: Path, root: Path) -> Path:
    """The pipeline's folder, or for a lone file in a crowded folder only what it imports."""
    return file.parent if file.name == "pipeline.py" or file.parent != root else file


def _imported_modules(spec: Any, root: Path) -> tuple[Path, ...]:
    """Project files that steps and their modules import, wherever they lie below the root."""
    files: set[Path] = set()
    for executor in spec.deployment_spec["executors"].values():
        program = read_program(_plain(executor["container"])) if "container" in executor else None
        if program:
            code = project_code(program.target, root)
            files.update(code.files if code else (), imported_with(program.target, root))
    return tuple(sorted(files))


def _whole(value: Any, kind: str) -> Any:
    """Undo what protobuf's Struct does to numbers: there, every one is a double."""
    if kind == "NUMBER_INTEGER" and isinstance(value, float):
        return int(value)
    if kind in ("LIST", "STRUCT"):
        return whole_numbers(value)
    return value


def whole_numbers(value: Any) -> Any:
    """Integral floats as ints, at any depth."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole_numbers(one) for one in value]
    if isinstance(value, dict):
        return {key: whole_numbers(one) for key, one in value.items()}
    return value
