"""KFP's own local runner takes a compiled Headrace pipeline for what it is, and runs it."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROGRAM = """
import json, sys
from kfp import components, local

local.init(local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[2])
task = components.load_component_from_file(sys.argv[1])(words="it's one \\\\ three")
print("SAID" + json.dumps({"outputs": task.outputs}))
"""
STEPS = """
    from typing import NamedTuple

    import headrace as hr
    from kfp.dsl import Dataset, Input, Output

    from helpers import split

    class Counted(NamedTuple):
        words: int
        rate: float

    @hr.step
    def write(words: str, table: Output[Dataset]):
        table.metadata["rows"] = len(split(words))
        with open(table.path, "w") as out:
            out.write("\\n".join(split(words)))

    @hr.step
    def count(table: Input[Dataset], letters: list, factor: int = 2) -> Counted:
        with open(table.path) as file:
            words = file.read().splitlines()
        assert table.metadata == {"rows": len(words)}
        return Counted(words=len(words) * factor, rate=len(letters) / 2)
"""
PIPELINE = """
    from typing import NamedTuple

    from kfp import dsl

    import steps

    @dsl.pipeline(name="plain")
    def plain(words: str) -> NamedTuple("Both", [("words", int), ("rate", float)]):
        table = steps.write(words=words)
        counted = steps.count(table=table.outputs["table"], letters=["a", "b", "c"])
        both = NamedTuple("Both", [("words", int), ("rate", float)])
        return both(words=counted.outputs["words"], rate=counted.outputs["rate"])
"""


@pytest.mark.engine
def test_a_plain_step(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    for name, text in {
        "pipeline": PIPELINE, "steps": STEPS,
        "helpers": "def split(words):\n    return words.split()\n",
    }.items():  # fmt: skip
        (project / f"{name}.py").write_text(textwrap.dedent(text))
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(project),
    }
    compiled = tmp_path / "plain.yaml"
    subprocess.run(
        [sys.executable, "-c",
         "import sys; from pathlib import Path; from headrace.compiling.pipeline import *;"
         "compile_pipeline(find_pipeline(sys.argv[1])).write(Path(sys.argv[2]))",
         str(project), str(compiled)],
        check=True, env=environment,
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(compiled), str(tmp_path / "root")],
        env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    print(done.stdout, done.stderr)
    said = next(one for one in done.stdout.splitlines() if one.startswith("SAID"))
    assert json.loads(said.removeprefix("SAID")) == {"outputs": {"words": 8, "rate": 1.5}}
