"""A step's dependencies beside its own source: they travel with it, and their edits count."""

from __future__ import annotations

PIPELINE = """
    from kfp import dsl

    @dsl.component
    def plain() -> int:
        from helper import VALUE

        return VALUE

    @dsl.pipeline(name="plain")
    def main() -> int:
        return plain().output
"""


def test_a_kfp_component_that_imports_a_module_of_the_project(project):
    """It is no step by reference, but the module that it imports counts all the same."""
    project.write(pipeline=PIPELINE, helper="VALUE = 1")
    assert project.run().outputs == {"Output": 1}
    again = project.run()
    assert [one.state for one in again.steps] == ["reused"]
    project.write(helper="VALUE = 2")
    edited = project.run()
    assert [one.state for one in edited.steps] == ["succeeded"]
    assert edited.outputs == {"Output": 2}


def test_a_data_file_beside_a_lone_pipeline(project, tmp_path):
    """A file that is named in the code of a step travels, though nobody imports it."""
    project.write(
        lone="""
            from pathlib import Path

            import headrace as hr
            from kfp import dsl

            @hr.step
            def read() -> str:
                return (Path(__file__).parent / "query.sql").read_text()

            @dsl.pipeline(name="lone")
            def lone() -> str:
                return read().output
        """,
    )
    (project.root / "query.sql").write_text("select 1")
    from headrace.compiling.pipeline import compile_pipeline, find_pipeline
    from headrace.running.run import run_pipeline

    compiled = compile_pipeline(find_pipeline(str(project.root / "lone.py")))
    assert run_pipeline(compiled, {}, project.home, record=False).outputs == {"Output": "select 1"}


def test_a_module_named_like_the_standard_librarys(project, monkeypatch):
    """What lies in the current folder is not in the way of the libraries imported ahead."""
    project.write(pipeline=PIPELINE, helper="VALUE = 3", queue="raise SystemExit('not yours')")
    monkeypatch.chdir(project.root)
    assert project.run().outputs == {"Output": 3}
