"""Which edits change a step's digest, and which do not."""

import ast
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.authoring.code import (
    imported_with,
    module_name,
    project_code,
    source_root,
    step_code,
)
from headrace.core.errors import UsageError

STEPS = '''
    """A file of steps."""

    import helpers
    from package.inner import thing

    LIMIT = 3  # of something
    UNUSED = 4

    class Row:
        width = 1

    def scaled(x):
        return x * LIMIT

    def step(a: int) -> int:
        """What it does."""
        row = Row()
        return scaled(a) + row.width + helpers.help(a)

    def other(a: int) -> int:
        return a + UNUSED + thing

    def lonely(a):
        return a
'''


@pytest.fixture
def project(files):
    files.write("steps.py", STEPS)
    files.write("helpers.py", "import deeper\n\ndef help(x):\n    return deeper.more(x)\n")
    files.write("deeper.py", "def more(x):\n    return x + 1\n")
    files.write("package/__init__.py", "VERSION = 1\n")
    inner = "from . import sibling\nfrom .sub.leaf import leaf\n\nthing = 1\n"
    files.write("package/inner.py", inner)
    files.write("package/sibling.py", "value = 1\n")
    files.write("package/sub/__init__.py", "from ..uncle import uncle\n")
    files.write("package/sub/leaf.py", "leaf = 1\n")
    files.write("package/uncle.py", "uncle = 1\n")
    files.write("package/stranger.py", "stranger = 1\n")
    return files


@pytest.mark.parametrize(
    ("name", "old", "new", "changed"),
    [
        ("steps.py", "scaled(a) + row.width", "scaled(a) - row.width", [1, 0, 0]),
        ("steps.py", "return x * LIMIT", "return x / LIMIT", [1, 0, 0]),
        ("steps.py", "LIMIT = 3", "LIMIT = 30", [1, 0, 0]),
        ("steps.py", "width = 1", "width = 2", [1, 0, 0]),
        ("steps.py", "return a + UNUSED", "return a - UNUSED", [0, 1, 0]),
        ("steps.py", "import thing", "import other as thing", [0, 1, 0]),
        ("steps.py", "UNUSED = 4", "UNUSED = 5", [0, 1, 0]),
        ("steps.py", "return a\n", "return -a\n", [0, 0, 1]),
        ("steps.py", "step(a: int)", "step(a: float)", [1, 0, 0]),
        # Comments and layout are nobody's business.
        ("steps.py", "# of something", "# of something else", [0, 0, 0]),
        ("steps.py", "row = Row()\n", "row = Row()  # a row\n\n\n", [0, 0, 0]),
        ("steps.py", "a + UNUSED", "(a  +\n        UNUSED)", [0, 0, 0]),
        ("steps.py", '"""A file of steps."""', '"""Steps."""', [0, 0, 0]),
        ("deeper.py", "    return x + 1", "    # one more\n    return (x+1)", [0, 0, 0]),
        # A docstring may be read by the code, so it counts where it stands.
        ("steps.py", '"""What it does."""', '"""What it did."""', [1, 0, 0]),
        # A module counts, with all that it imports, for the functions that use its name.
        ("helpers.py", "return deeper", "return 2 * deeper", [1, 0, 0]),
        ("deeper.py", "x + 1", "x + 2", [1, 0, 0]),
        ("package/__init__.py", "VERSION = 1", "VERSION = 2", [0, 1, 0]),
        ("package/inner.py", "thing = 1", "thing = 2", [0, 1, 0]),
        ("package/sibling.py", "value = 1", "value = 2", [0, 1, 0]),
        ("package/sub/__init__.py", "uncle import uncle", "uncle import uncle as u", [0, 1, 0]),
        ("package/sub/leaf.py", "leaf = 1", "leaf = 2", [0, 1, 0]),
        ("package/uncle.py", "uncle = 1", "uncle = 2", [0, 1, 0]),
        ("package/stranger.py", "stranger = 1", "stranger = 2", [0, 0, 0]),
    ],
)
def test_an_edit(project, name, old, new, changed):
    assert project.changes(name, old, new, "step", "other", "lonely") == [
        bool(one) for one in changed
    ]


def test_what_a_step_is_made_of(project):
    code = project.code("other")
    assert code.target == "steps:other"
    assert [one.relative_to(project.root).as_posix() for one in code.files] == [
        "steps.py", "package/__init__.py", "package/inner.py", "package/sibling.py",
        "package/sub/__init__.py", "package/sub/leaf.py", "package/uncle.py",
    ]  # fmt: skip
    assert code.libraries == frozenset()
    assert code.digest.startswith("sha256:") and len(code.digest) == 71


def test_the_same_code_in_another_place_has_the_same_digest(project, tmp_path):
    elsewhere = type(project)(tmp_path / "deep" / "er")
    for one in project.root.rglob("*.py"):
        elsewhere.write(str(one.relative_to(project.root)), one.read_text())
    for function in ("step", "other", "lonely"):
        assert elsewhere.digest(function) == project.digest(function)


def test_a_renamed_function_is_another(files):
    files.write("steps.py", "def step(): pass\ndef same(): pass\n")
    assert files.digest("step") != files.digest("same")


def test_libraries_are_named_not_read(files):
    files.write(
        "steps.py",
        """
        import json
        import torch.nn
        from pyspark.sql import functions
        import helper

        def step():
            import pandas as pd
            return json, torch, functions, helper, pd
        """,
    )
    files.write("helper.py", "def f():\n    from sklearn import metrics\n")
    assert files.code().libraries == {"json", "torch", "pyspark", "pandas", "sklearn"}


def test_beside_an_installed_package_lies_what_is_not_its_project(files):
    own = {
        "package/__init__.py": "",
        "package/steps.py": "from package.words import cut\nimport other\n"
        "def step(text: str):\n    import other.deep\n    return cut(text)\n",
        "package/words.py": "import other\ncut = str.split\n",
    }
    others = {"other/__init__.py": "import another", "other/deep.py": "", "another.py": ""}
    for name, text in {**own, **others}.items():
        files.write(f"site-packages/{name}", text)
    for name, text in own.items():
        files.write(f"checkout/{name}", text)
    found = files.code(file="site-packages/package/steps.py")
    assert found.files == tuple(
        files.root / "site-packages/package" / name
        for name in ("steps.py", "__init__.py", "words.py")
    )
    assert found.libraries == {"other"}
    assert found.digest == files.digest(file="checkout/package/steps.py")


def test_a_function_that_recurses_and_modules_that_import_each_other(files):
    files.write("steps.py", "import a\ndef step(n=1):\n    return a.f() or step(n - 1)\n")
    files.write("a.py", "import b\ndef f(): return b.g()\n")
    files.write("b.py", "import a, steps\ndef g(): return 1\n")
    assert files.changes("b.py", "return 1", "return 2") == [True]


def test_a_module_that_imports_the_steps_file_counts_all_of_it(files):
    """What it takes from there is not looked into."""
    files.write("steps.py", "import a\nLIMIT = 1\ndef step():\n    return a.f()\n")
    files.write("a.py", "import steps\ndef f(): return steps.LIMIT\n")
    assert files.changes("steps.py", "LIMIT = 1", "LIMIT = 2") == [True]


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("from helpers import *\ndef step(): return thing()\n", "return 1", "return 2"),
        ("import helpers as h\ndef step(): return h.thing()\n", "return 1", "return 2"),
        ("from helpers import thing as t\ndef step(): return t()\n", "return 1", "return 2"),
        ("def step():\n    from helpers import thing\n    return thing\n", "return 1", "return 2"),
        ("def step():\n    from helpers import *\n", "return 1", "return 2"),
        ("import helpers\ndef step():\n    return helpers.thing()\n", "return 1", "return 2"),
        ("try:\n    import helpers\nexcept ImportError:\n    helpers = None\n"
         "def step(): return helpers\n", "return 1", "return 2"),
        ("import sys\nif sys.platform:\n    from helpers import thing\nelse:\n    thing = None\n"
         "def step(): return thing\n", "return 1", "return 2"),
        ("from helpers import thing\ndef step(a=thing()): return a\n", "return 1", "return 2"),
        ("from helpers import thing\n@thing\ndef step(a): return a\n", "return 1", "return 2"),
        ("from helpers import thing\nclass Base:\n    f = thing\nclass Child(Base): pass\n"
         "def step(): return Child()\n", "return 1", "return 2"),
        ("from helpers import thing\nTABLE = {}\nTABLE['x'] = thing\n"
         "def step(): return TABLE\n", "return 1", "return 2"),
        ("from helpers import thing\nTABLE = []\nTABLE.append(thing)\n"
         "def step(): return TABLE\n", "return 1", "return 2"),
        ("from helpers import thing\nTABLE = []\nfor one in 'ab':\n    TABLE.append(thing)\n"
         "def step(): return TABLE\n", "return 1", "return 2"),
        ("from helpers import thing\nTABLE = {}\nTABLE |= {'x': thing}\n"
         "def step(): return TABLE\n", "return 1", "return 2"),
        ("import helpers\nwith open('x') as f:\n    text = helpers.thing()\n"
         "def step(): return text\n", "return 1", "return 2"),
        ("import helpers\nif (found := helpers.thing()):\n    pass\n"
         "def step(): return found\n", "return 1", "return 2"),
        ("import helpers\nmatch helpers.thing():\n    case [first, *rest]: pass\n"
         "    case {'a': a, **more}: pass\n    case other: pass\n"
         "def step(): return (first, rest, a, more, other)\n", "return 1", "return 2"),
        ("import helpers\ntype Alias = helpers.thing\ndef step(): return Alias\n"
         if sys.version_info >= (3, 12) else
         "import helpers\nAlias = helpers.thing\ndef step(): return Alias\n",
         "return 1", "return 2"),
        ("import helpers\nasync def wait(): return helpers.thing()\n"
         "def step(): return wait()\n", "return 1", "return 2"),
        ("import helpers\na, (b, *c) = helpers.thing()\ndef step(): return c\n",
         "return 1", "return 2"),
        ("import importlib\nimport helpers\nhelpers.thing()\ndef step(): return 1\n",
         "return 1", "return 2"),
        ("def step():\n    global helpers\n    import helpers\n    return helpers\n",
         "return 1", "return 2"),
    ],
)  # fmt: skip
def test_ways_to_reach_a_module(files, text, old, new):
    """However a step comes by a project module's content, an edit there changes its digest."""
    files.write("steps.py", text)
    files.write("helpers.py", "def thing(): return 1\n")
    assert files.changes("helpers.py", old, new) == [True]


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        ("import os\nos.environ['A'] = '1'\ndef step(): return 1\n", "'1'", "'2'"),
        ("X = 1\ndel X\ndef step(): return 1\n", "del X", "del X, X"),
        ("def step(): return 1\nstep.x = 1\n", "step.x = 1", "step.x = 2"),
        ("X = 1\nX = 2\ndef step(): return X\n", "X = 2", "X = 3"),
        ("X = 1\nX += 2\ndef step(): return X\n", "X += 2", "X += 3"),
        ("X: int = 1\ndef step(): return X\n", "int = 1", "int = 2"),
        ("def make():\n    global X\n    X = 1\nmake()\ndef step(): return X\n", "X = 1", "X = 2"),
        ("import os\nif os.sep:\n    X = 1\nelse:\n    X = 2\ndef step(): return X\n",
         "X = 2", "X = 3"),
        ("if True:\n    def step(): return 1\nelse:\n    def step(): return 2\n",
         "return 2", "return 3"),
        ("def wrap(f): return f\n@wrap\ndef step(): return 1\n", "return f", "return f or 1"),
        ("class Meta(type): x = 1\nclass A(metaclass=Meta): pass\ndef step(): return A\n",
         "x = 1", "x = 2"),
        ("def step(): return [y for y in X]\nX = [1]\n", "[1]", "[2]"),
        ("def step():\n    def inner(): return X\n    return inner\nX = 1\n", "X = 1", "X = 2"),
        ("def step(f=lambda: X): return f\nX = 1\n", "X = 1", "X = 2"),
        ("def step(): return f'{X}'\nX = 1\n", "X = 1", "X = 2"),
        ("def step(x: X): return 1\nX = int\n", "int", "str"),
        ("TABLE = []\ndef keep(f):\n    TABLE.append(f)\n    return f\n"
         "@keep\ndef one(): return 1\ndef step(): return TABLE\n", "return 1", "return 2"),
        ("class App:\n    def route(self, x): return print\napp = App()\n"
         "@app.route('/')\ndef one(): return 1\ndef step(): return app\n", "return 1", "return 2"),
        ("T = []\nfor x in 'ab':\n    y = x\n    T.append(y)\ndef step(): return T\n", "ab", "abc"),
        ("T = {}\na, T['x'] = 1, 2\ndef step(): return T\n", "1, 2", "1, 3"),
        ("T = {}\ntry:\n    a = 1\nfinally:\n    T.update(x=1)\ndef step(): return T\n",
         "x=1", "x=2"),
        ("def helper(): return 1\nclass K:\n    def m(self): return helper()\n"
         "def step(): return K().m()\n", "return 1", "return 2"),
    ],
)  # fmt: skip
def test_ways_to_reach_what_stands_in_the_file(files, text, old, new):
    files.write("steps.py", text)
    assert files.changes("steps.py", old, new) == [True]


def test_steps_of_one_file_are_independent(files):
    """Decorators of libraries do not tie functions together, conditional imports neither."""
    files.write(
        "steps.py",
        """
        import functools
        from typing import TYPE_CHECKING

        import headrace as hr
        from kfp.dsl import Dataset, Output

        if TYPE_CHECKING:
            from helpers import thing

        try:
            import helpers
        except ImportError:
            helpers = None

        @hr.spark(executors=2)
        def step(spark, out: Output[Dataset]):
            return 1

        @hr.ray(workers=2)
        @functools.cache
        def other():
            return helpers
        """,
    )
    files.write("helpers.py", "thing = 1\n")
    assert files.changes("steps.py", "return 1", "return 2", "step", "other") == [True, False]
    assert files.changes("steps.py", "workers=2", "workers=3", "step", "other") == [False, True]
    assert files.changes("helpers.py", "1", "2", "step", "other") == [False, True]


def test_a_table_that_a_decorator_of_another_module_fills(files):
    files.write(
        "steps.py",
        """
        from tables import TABLE, keep

        @keep
        def one():
            return 1

        def step():
            return TABLE
        """,
    )
    files.write("tables.py", "TABLE = []\ndef keep(f):\n    TABLE.append(f)\n    return f\n")
    assert files.changes("steps.py", "return 1", "return 2") == [True]
    assert files.changes("tables.py", "return f", "return f or f") == [True]


def test_a_data_file_that_the_code_names(files):
    """A query or a schema beside the code counts for the step that spells out its name."""
    files.write(
        "steps.py",
        """
        from pathlib import Path

        HERE = Path(__file__).parent

        def step():
            return (HERE / "query.sql").read_text()

        def other():
            return (HERE / "sub" / "other.sql").read_text()
        """,
    )
    files.write("query.sql", "select 1")
    files.write("unnamed.sql", "select 1")
    assert files.changes("query.sql", "1", "2", "step", "other") == [True, False]
    assert files.changes("unnamed.sql", "1", "2", "step", "other") == [False, False]


def test_a_data_file_in_a_folder_beneath(files):
    """A path with a folder in it, in one piece or in several."""
    files.write(
        "steps.py",
        """
        from pathlib import Path

        HERE = Path(__file__).parent

        def step():
            return open(HERE / "queries" / "a.sql")

        def other():
            return open(HERE / "queries/b.sql")
        """,
    )
    files.write("queries/a.sql", "select 1")
    files.write("queries/b.sql", "select 1")
    assert files.changes("queries/a.sql", "1", "2", "step", "other") == [True, False]
    assert files.changes("queries/b.sql", "1", "2", "step", "other") == [False, True]


def test_the_package_around_a_step(files):
    """The `__init__` of the packages around a step's file is run before it, so it counts."""
    files.write("outer/__init__.py", "A = 1\n")
    files.write("outer/inner/__init__.py", "from outer import aside\n")
    files.write("outer/aside.py", "B = 1\n")
    files.write("outer/inner/steps.py", "def step(): return 1\n")
    place = "outer/inner/steps.py"
    before = files.code(file=place)
    assert before.target == "outer.inner.steps:step"
    for name, text in (("outer/__init__.py", "A = 2\n"), ("outer/aside.py", "B = 2\n")):
        files.write(name, text)
        after = files.code(file=place)
        assert after.digest != before.digest
        before = after


def test_folders_without_an_init(files):
    """Namespace packages are found like others."""
    files.write("steps.py", "from space.inner import thing\ndef step(): return thing\n")
    files.write("space/inner.py", "thing = 1\n")
    assert files.changes("space/inner.py", "thing = 1", "thing = 2") == [True]


@pytest.mark.parametrize("text", [
    "def outer():\n    def step(): pass\n", "class A:\n    def step(self): pass\n",
    "step = lambda: 1\n", "step = 1\n", "import step\n", "",
])  # fmt: skip
def test_no_function_at_module_level(files, text):
    files.write("steps.py", text)
    with pytest.raises(UsageError) as wrong:
        files.code()
    assert str(wrong.value) == (
        "The function 'step' is not defined at module level.\n"
        f"  at: {files.root / 'steps.py'}\n"
        "  try: a step is found again by its name: move it out of any function or class"
    )


def test_a_syntax_error_in_an_imported_module(files):
    files.write("steps.py", "import broken\ndef step(): return broken\n")
    path = files.write("broken.py", "def f(:\n")
    with pytest.raises(UsageError) as wrong:
        files.code()
    assert str(wrong.value) == (
        f"invalid syntax (line 1)\n  at: {path}\n  try: mend the syntax error"
    )


def test_code_behind_a_reference(files):
    files.write("a/__init__.py", "def first(): pass\n")
    files.write("a/b.py", "def second(): pass\n")
    assert project_code("a:first", files.root).target == "a:first"
    assert project_code("a.b:second", files.root) == step_code(files.root / "a/b.py", "second")
    assert project_code("a.c:third", files.root) is None


def test_names_of_modules_and_their_root(files):
    for name in ("a/__init__.py", "a/b/__init__.py", "a/b/c.py", "d.py", "e/f.py"):
        files.write(name, "")
    names = {
        name: (source_root(files.root / name), module_name(files.root / name, files.root))
        for name in ("a/__init__.py", "a/b/c.py", "d.py")
    }
    assert names == {
        "a/__init__.py": (files.root, "a"),
        "a/b/c.py": (files.root, "a.b.c"),
        "d.py": (files.root, "d"),
    }
    assert source_root(files.root / "e/f.py") == files.root / "e"


# Whole files, made at random, that define a step among all kinds of statements.
NAMES = st.sampled_from(["a", "b", "c", "d"])
VALUES = st.one_of(
    st.integers(-9, 9).map(str), st.text("xyz\n\t'\"\\é", max_size=5).map(repr),
    NAMES.map(lambda n: f"(lambda: {n})"), NAMES.map(lambda n: f"[{n} for {n} in ()]"),
)  # fmt: skip
STATEMENTS = st.one_of(
    st.builds("{} = {}".format, NAMES, VALUES),
    st.builds("{}: int = {}".format, NAMES, VALUES),
    st.builds("try:\n    import {}\nexcept ImportError:\n    {} = {}".format, NAMES, NAMES, VALUES),
    st.builds("if {}:\n    {} = {}".format, VALUES, NAMES, VALUES),
    st.builds("class {}:\n    x = {}".format, NAMES, VALUES),
    st.builds("def {}():\n    return {}".format, NAMES, VALUES),
    st.builds("async def {}():\n    return {}".format, NAMES, VALUES),
    st.builds("@(lambda f: f)\ndef {}(x={}):\n    yield {}".format, NAMES, VALUES, NAMES),
    st.builds("for {} in ():\n    {} = {}".format, NAMES, NAMES, VALUES),
    st.builds("from {} import *".format, NAMES),
    st.builds("from . import {}".format, NAMES),
    st.builds("from ..{} import {}".format, NAMES, NAMES),
    st.builds("print({})".format, VALUES),
    st.builds("{}.x = {}".format, NAMES, VALUES),
    st.builds("with open({}) as {}:\n    pass".format, VALUES, NAMES),
    st.just("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a"),
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STATEMENTS, max_size=8), st.lists(STATEMENTS, max_size=8), NAMES)
def test_odd_files(tmp_path_factory, before, after, used):
    """Any file that Python parses is read; its own layout never matters, and when nothing runs
    on import but definitions, removing what is not reached never matters either."""
    root = tmp_path_factory.mktemp("odd")
    file = root / "steps.py"
    text = "\n".join([*before, f"def step():\n    return {used}", *after])
    file.write_text(text)
    first = step_code(file, "step")
    file.write_text("# a comment\n\n" + ast.unparse(ast.parse(text)) + "\n")
    assert step_code(file, "step").digest == first.digest
    file.write_text(f"{text}\ndef nobody_calls_it():\n    return step\n")
    assert step_code(file, "step").digest == first.digest


def test_a_python_file_that_the_code_names_and_does_not_import(files):
    """What a model carries along by its path is part of the step that packs it."""
    files.write(
        "steps.py",
        """
        from pathlib import Path

        def step():
            return str(Path(__file__).parent / "served.py")

        def other():
            return 1
        """,
    )
    files.write("served.py", "VALUE = 1")
    assert files.changes("served.py", "1", "2", "step", "other") == [True, False]


def test_what_is_imported_with_a_step_whether_it_reaches_it_or_not(files):
    files.write("a/__init__.py", "from a.words import SHOUT\n")
    files.write("a/words.py", "SHOUT = 'HO'\n")
    files.write("a/steps.py", "import numbers\n\nimport tables\n\ndef step(): return 1\n")
    files.write("tables.py", "def other():\n    import rows\n")
    files.write("rows.py", "")
    files.write("stranger.py", "")
    assert [one.name for one in step_code(files.root / "a/steps.py", "step").files] == [
        "steps.py", "__init__.py", "words.py",
    ]  # fmt: skip
    found = [
        one.relative_to(files.root).as_posix() for one in imported_with("a.steps:step", files.root)
    ]
    assert found == ["a/__init__.py", "a/steps.py", "a/words.py", "rows.py", "tables.py"]
    assert imported_with("a.nothing:step", files.root) == ()
