"""The README's example is a pipeline that compiles, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from headrace.compiling.pipeline import compile_pipeline, find_pipeline

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_example_compiles(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (tmp_path / "pipeline.py").write_text(example)
    compiled = compile_pipeline(find_pipeline(str(tmp_path)))
    assert list(compiled.parameters) == ["epochs", "raw"]
    assert set(compiled.ir["root"]["dag"]["tasks"]) == {
        "features",
        "train",
        "register",
        "promote",
        "serve",
    }
