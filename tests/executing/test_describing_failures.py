"""What is said of the exception that ended a step: short, with the user's own frames."""

import errno
import importlib.util
import json
import textwrap

import pytest

from headrace.core.errors import GateFailed, StepFailed
from headrace.executing import failures
from headrace.executing.failures import Described, describe


@pytest.fixture
def user(tmp_path):
    """Makes a module of the user's out of text."""

    def make(text, name="users"):
        path = tmp_path / f"{name}.py"
        path.write_text(textwrap.dedent(text).lstrip())
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return make


def caught(function, *arguments):
    with pytest.raises(BaseException) as raised:
        function(*arguments)
    error = raised.value
    # The test's own frame is the caller's, as the runner's would be.
    return error.with_traceback(error.__traceback__.tb_next)


def test_the_users_frames_alone(user, tmp_path):
    """Frames of libraries and of Python are left out, before, between and after."""
    module = user(
        """
        import json

        def step(text):
            return inner(text)

        def inner(text):
            return json.loads(text, object_hook=hook)

        def hook(found):
            return found["missing"]
        """
    )
    assert describe(caught(module.step, '{"a": 1}')) == {
        "kind": "KeyError",
        "what": "KeyError: 'missing'",
        "where": [],
        "hint": "",
        "exit_code": 1,
        "traceback": (
            f'  File "{tmp_path}/users.py", line 4, in step\n    return inner(text)\n'
            f"           ^^^^^^^^^^^\n"
            f'  File "{tmp_path}/users.py", line 7, in inner\n'
            f"    return json.loads(text, object_hook=hook)\n"
            f"           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
            f'  File "{tmp_path}/users.py", line 10, in hook\n    return found["missing"]\n'
            f"           ~~~~~^^^^^^^^^^^"
        ),
    }


def test_an_error_inside_a_library(user, tmp_path):
    """Where the user's code called it is what is shown."""
    module = user("import json\n\ndef step():\n    json.loads('{')\n")
    traceback = describe(caught(module.step))["traceback"]
    assert [line for line in traceback.splitlines() if "File" in line] == [
        f'  File "{tmp_path}/users.py", line 4, in step'
    ]


def test_the_last_frames_of_a_deep_one(user):
    module = user("def a(n):\n    return b(n)\n\ndef b(n):\n    return a(n - 1) if n else 1 / 0\n")
    frames = describe(caught(module.a, 50))["traceback"].splitlines()
    names = [line.rpartition(" in ")[2] for line in frames if "File" in line]
    assert names == ["a", "b"] * 3


def test_an_error_of_which_no_frame_is_the_users():
    assert "json" in describe(caught(json.loads, "{"))["traceback"]


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (ValueError("it's\nnot"), "ValueError: it's\nnot"),
        (ValueError(), "ValueError"),
        (ValueError("  "), "ValueError"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (AssertionError("a"), "AssertionError: a"),
    ],
)
def test_texts(error, what):
    described = describe(error)
    assert (described["kind"], described["what"]) == (type(error).__name__, what)


def test_our_own_errors_keep_what_they_say():
    error = GateFailed("auc is 0.6.", where=["run", "version"], hint="train longer")
    assert describe(error) == {
        "kind": "GateFailed", "what": "auc is 0.6.", "where": ["run", "version"],
        "hint": "train longer", "exit_code": 3, "traceback": "",
    }  # fmt: skip


def test_an_error_described_in_another_process():
    told = describe(StepFailed("there"))
    assert describe(Described(told)) == told


def test_a_full_disk():
    described = describe(OSError(errno.ENOSPC, "No space left on device"))
    assert described["hint"] == (
        "the disk is full: free some space and run again; what is complete is kept"
    )


def test_an_error_that_cannot_even_be_shown():
    class Broken(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    described = describe(Broken())
    assert (described["kind"], described["what"]) == ("Broken", "Broken")


def test_everything_can_be_written_down(user):
    module = user("def step():\n    raise ValueError('\\ud800 \\x00')\n")
    text = json.dumps(describe(caught(module.step)))
    text.encode()
    assert "ValueError" in text


def test_whose_a_file_is(tmp_path):
    assert failures.foreign(json.__file__)
    assert failures.foreign(pytest.__file__)
    assert failures.foreign(failures.__file__)
    assert failures.foreign("<frozen importlib._bootstrap>")
    assert failures.foreign("/tmp/x/ephemeral_component.py")
    assert not failures.foreign(str(tmp_path / "steps.py"))
    assert not failures.foreign(__file__)
