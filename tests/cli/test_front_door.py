"""The front door: help, near misses, exit codes, and what becomes of a mistake of its own."""

import json
import os
import subprocess
import sys

import pytest

from headrace.cli.main import SECTIONS, cli, main
from headrace.core.errors import EnvironmentProblem, GateFailed, StepFailed

VERBS = [name for part in SECTIONS.values() for name in part]


def test_the_help_lists_every_verb_in_its_section(headrace):
    said = headrace("--help")
    assert said.code == 0
    assert said.out == (
        "Usage: headrace [OPTIONS] COMMAND [ARGS]...\n"
        "\n"
        "  Pipelines from raw tables to a served model: Spark prepares, Ray trains,\n"
        "  MLflow keeps the record.\n"
        "\n"
        "Options:\n"
        "  --version   Show the version and exit.\n"
        "  -h, --help  Show this message and exit.\n"
        "\n"
        "Run:\n"
        "  run      Run a pipeline, here or on a cluster.\n"
        "  compile  Write a pipeline as a KFP YAML file.\n"
        "  cancel   End a run, wherever it is.\n"
        "\n"
        "Look:\n"
        "  runs     List runs, or sum one up.\n"
        "  status   Show where a run stands, pods included.\n"
        "  why      Say why a run failed, or waits.\n"
        "  logs     Show what the steps wrote.\n"
        "  models   Show models, versions and decisions.\n"
        "  open     Open the pages of MLflow, KFP or Ray.\n"
        "\n"
        "Serve:\n"
        "  serve    Serve a registered model.\n"
        "  stop     Stop model servers.\n"
        "\n"
        "Keep in order:\n"
        "  up       Make a cluster here, with Headrace in it.\n"
        "  install  Make a namespace of a cluster a site.\n"
        "  mirror   List what a cluster without the internet needs.\n"
        "  sites    List the sites that your contexts show.\n"
        "  backup   Keep a site's databases and store.\n"
        "  restore  Make a site what it was at a backup.\n"
        "  clean    Remove what nobody needs.\n"
        "  doctor   Find what is wrong and how to mend it.\n"
        "\n"
        "  Start here:\n"
        "    headrace run pipelines/flights\n"
        "    headrace runs latest\n"
        "    headrace doctor\n"
    )


def test_without_words_the_help_is_shown(headrace):
    assert headrace().out == headrace("--help").out


def test_the_help_imports_no_verb_and_nothing_heavy():
    program = (
        "import sys; from headrace.cli.main import main; main(['--help']);"
        "heavy = {'rich', 'kfp', 'yaml', 'mlflow', 'numpy', 'asyncio', 'headrace.cli.verbs'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_it_does_and_shows_an_example(headrace, verb):
    said = headrace(verb, "--help")
    assert said.code == 0
    assert said.lines[0].startswith(f"Usage: headrace {verb} ")
    assert f"    headrace {verb}" in said.out.partition("Examples:")[2]
    assert max(map(len, said.lines)) <= 100


def test_the_version(headrace):
    assert headrace("--version").out == "headrace 0.1.0\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            ["rnu"],
            "error: There is no command 'rnu'.\n  try: Did you mean 'run'? See headrace --help.\n",
        ),
        (
            ["runs", "--jsno"],
            "error: No such option '--jsno'.\n"
            "  try: Did you mean '--json'? See headrace runs --help.\n",
        ),
        (
            ["compile", "pipelines/flights"],
            "error: Missing option '-o' / '--output'.\n  try: See headrace compile --help.\n",
        ),
        (
            ["run"],
            "error: Missing argument 'PIPELINE'.\n  try: See headrace run --help.\n",
        ),
        (
            ["run", "x", "--jobs", "0"],
            "error: Invalid value for '--jobs': 0 is not in the range x>=1.\n"
            "  try: See headrace run --help.\n",
        ),
        (
            ["serve", "a/b/c"],
            "error: 'a/b/c' names no model.\n"
            "  try: write NAME, NAME@ALIAS or NAME/VERSION (a number)\n",
        ),
    ],
)
def test_wrong_usage_names_near_misses_and_ends_with_2(headrace, words, expected):
    said = headrace(*words)
    assert (said.code, said.out, said.err) == (2, "", expected)


@pytest.mark.parametrize(
    ("kind", "code"), [(StepFailed, 1), (GateFailed, 3), (EnvironmentProblem, 4)]
)
def test_every_kind_of_error_has_its_exit_code_and_three_parts(headrace, broken, kind, code):
    broken(kind("It is broken.", where=["here", "there"], hint="mend it"))
    said = headrace("doctor")
    assert (said.code, said.out) == (code, "")
    assert said.err == "error: It is broken.\n   at: here\n   at: there\n  try: mend it\n"


def test_a_full_disk_is_no_mistake_of_ours(headrace, broken):
    broken(OSError(28, "No space left on device", "/somewhere/flights.yaml"))
    said = headrace("doctor")
    assert said.code == 4
    assert said.err == (
        "error: No space left on device.\n"
        "   at: /somewhere/flights.yaml\n"
        "  try: the disk is full: free some space, or see what `headrace clean` would free\n"
    )


def test_a_package_that_is_not_installed_is_named_with_its_extra(headrace, broken):
    broken(ModuleNotFoundError("No module named 'mlflow'", name="mlflow"))
    said = headrace("doctor")
    assert (said.code, said.err) == (
        4,
        "error: mlflow is not installed.\n  try: uv sync --extra mlflow\n",
    )


def test_with_json_an_error_is_an_object_too(headrace, broken):
    broken(EnvironmentProblem("It is broken.", where="here", hint="mend it"))
    said = headrace("doctor", "--json")
    assert json.loads(said.out) == {
        "error": {
            "what": "It is broken.",
            "where": ["here"],
            "hint": "mend it",
            "kind": "EnvironmentProblem",
            "exit_code": 4,
        }
    }


def test_a_mistake_of_its_own_leaves_the_traceback_in_a_file(headrace, broken, tmp_path):
    broken(KeyError("surprise"))
    said = headrace("doctor")
    (report,) = (tmp_path / ".headrace" / "crashes").iterdir()
    assert said.code == 70
    assert said.err == (
        "error: Headrace came upon something that it did not foresee: KeyError: 'surprise'\n"
        f"   at: {report}\n"
        "  try: report it with that file\n"
    )
    assert report.read_text().endswith("KeyError: 'surprise'\n")


def test_debugging_shows_the_traceback(headrace, broken, monkeypatch):
    monkeypatch.setenv("HEADRACE_DEBUG", "1")
    broken(EnvironmentProblem("It is broken."))
    assert headrace("doctor").err.startswith("Traceback (most recent call last):\n")


def test_ctrl_c_ends_with_130(headrace, broken):
    broken(KeyboardInterrupt())
    said = headrace("doctor")
    assert (said.code, said.err) == (130, "\ncancelled\n")


def test_a_reader_that_leaves_early_is_no_error(tmp_path, flights_promoted):
    folder = flights_promoted.write(tmp_path / ".headrace" / "runs")
    (folder / "logs" / "train.log").write_text("line\n" * 100_000)
    reading, writing = os.pipe()
    program = "import sys; from headrace.cli.main import main; sys.exit(main())"
    with os.fdopen(writing, "wb") as out:
        done = subprocess.Popen(
            [sys.executable, "-c", program, "logs", "latest", "train"],
            stdout=out,
            stderr=subprocess.PIPE,
            cwd=tmp_path,
        )
    os.close(reading)
    assert (done.wait(), done.stderr.read()) == (0, b"")


def test_a_terminal_without_utf8_gets_question_marks(tmp_path, flights_promoted):
    flights_promoted.write(tmp_path / ".headrace" / "runs")
    program = "import sys; from headrace.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, "runs", "latest"],
        capture_output=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"? flights succeeded in 1 min 08 s")


@pytest.fixture
def broken(monkeypatch):
    """Makes `headrace doctor` raise."""

    def break_with(error):
        class Broken(type(cli)):
            def get_command(self, ctx, cmd_name):
                import click

                @click.command()
                @click.option("--json", is_flag=True)
                def command(json):
                    raise error

                return command

        monkeypatch.setattr(cli, "__class__", Broken)

    return break_with


def test_main_reads_the_command_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["headrace", "--version"])
    assert main() == 0
    assert capsys.readouterr().out == "headrace 0.1.0\n"
