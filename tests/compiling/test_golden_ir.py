"""The compiled pipeline, whole, is what stands in `tests/golden`.

When a change of the IR is meant: `UPDATE_GOLDEN=1 pytest tests/compiling/test_golden_ir.py`.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kfp import components

GOLDEN = Path(__file__).parents[1] / "golden"
PROGRAM = """
import sys
from pathlib import Path
from headrace.compiling.pipeline import compile_pipeline, find_pipeline

compile_pipeline(find_pipeline(sys.argv[1])).write(Path(sys.argv[2]))
"""
# The code behind the ready components is Headrace's own and changes with every edit there.
OURS = re.compile(r"(headrace\.(?:registry|serving)[^)]*code='')sha256:[0-9a-f]{64}")


def compiled(place: Path, seed: str) -> str:
    """Compile the small pipeline in a process of its own, from a copy in `place`."""
    shutil.copytree(GOLDEN / "small", place / "small", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(
        [sys.executable, "-c", PROGRAM, "small", "out.yaml"], cwd=place, check=True,
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    return (place / "out.yaml").read_text()


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """The pipeline compiled twice: in other places, with other hash seeds."""
    here = tmp_path_factory.mktemp("here")
    there = tmp_path_factory.mktemp("there") / "deep" / "down"
    there.mkdir(parents=True)
    return compiled(here, "1"), compiled(there, "2"), (here, there)


def test_it_is_the_same_in_every_place_and_process(twice):
    first, second, _ = twice
    assert first == second


def test_it_is_what_it_was(twice):
    text = OURS.sub(r"\1sha256:headrace", twice[0])
    path = GOLDEN / "small.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_it_names_no_path_of_the_machine(twice):
    text, _, places = twice
    for place in (*places, Path.home(), GOLDEN, Path(sys.prefix), Path(os.environ["HOME"])):
        assert str(place) not in text


def test_kfp_loads_it(twice, tmp_path):
    """KFP's own SDK takes it, and reads the same inputs from it."""
    path = tmp_path / "small.yaml"
    path.write_text(twice[0])
    loaded = components.load_component_from_file(str(path))
    assert loaded.name == "small"
    assert {
        name: (one.type, one.default) for name, one in loaded.component_spec.inputs.items()
    } == {
        "text": ("String", "it's one"),
        "epochs": ("Integer", 3),
        "rates": ("List", [0.1]),
        "share": ("Float", 1.0),
    }


def test_headrace_reads_it_back(twice, tmp_path):
    from headrace.compiling.pipeline import ParameterSpec, compile_pipeline, find_pipeline

    path = tmp_path / "small.yaml"
    path.write_text(twice[0])
    found = compile_pipeline(find_pipeline(str(path)))
    ir, platforms = yaml.safe_load_all(twice[0]) if "\n---\n" in twice[0] else (
        yaml.safe_load(twice[0]), {},
    )  # fmt: skip
    assert (found.name, found.ir, found.platforms) == ("small", ir, platforms)
    assert (found.code, found.text) == (None, twice[0])
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", found.code_digest)

    def spec(kind, default, description):
        return ParameterSpec(type=kind, default=default, optional=True, description=description)

    assert found.parameters == {
        "text": spec("STRING", "it's one", "What is read."),
        "epochs": spec("NUMBER_INTEGER", 3, "How often."),
        "rates": spec("LIST", [0.1], "Learning rates."),
        "share": spec("NUMBER_DOUBLE", 1.0, "How much of it."),
    }
    assert type(found.parameters["epochs"].default) is int
    assert type(found.parameters["share"].default) is float
