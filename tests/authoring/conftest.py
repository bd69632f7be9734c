"""Source files to read code from."""

import importlib
import sys
import textwrap
from pathlib import Path

import pytest

from headrace.authoring.code import step_code


class Files:
    """A folder of source files that a test edits."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def code(self, function: str = "step", file: str = "steps.py"):
        return step_code(self.root / file, function)

    def digest(self, function: str = "step", file: str = "steps.py") -> str:
        return self.code(function, file).digest

    def changes(self, name: str, old: str, new: str, *functions: str) -> list[bool]:
        """Whether an edit changes the digest of each of some functions of `steps.py`."""
        wanted = functions or ("step",)
        before = [self.digest(one) for one in wanted]
        text = (self.root / name).read_text()
        assert text.count(old) == 1, f"{old!r} in {name}"
        (self.root / name).write_text(text.replace(old, new))
        return [a != self.digest(one) for a, one in zip(before, wanted, strict=True)]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """An empty folder."""
    return Files(tmp_path / "source")


@pytest.fixture
def load(tmp_path: Path):
    """Imports a module made of some text, under a name of its own."""
    names = []

    def make(text: str):
        name = f"steps_{len(names)}_of_{abs(hash(tmp_path)) % 10**8}"
        path = tmp_path / "modules" / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        names.append(name)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path / "modules"))
        yield make
    for name in names:
        sys.modules.pop(name, None)
