"""dsl.importer: artifacts that no step of the pipeline made."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Model


@dsl.component
def say(text: str) -> str:
    return text


@dsl.component
def read(data: Input[Dataset]) -> str:
    with open(data.path) as file:
        return file.read()


@dsl.component
def look(model: Input[Model]) -> dict:
    return {"class": type(model).__name__, "uri": model.uri, "metadata": model.metadata}


def test_a_file_of_this_machine(run, tmp_path):
    """An importer makes an artifact of what lies at a URI, or at a plain path; a consumer
    reads it there."""
    (tmp_path / "it's data.txt").write_text("imported")

    @dsl.pipeline
    def imports(path: str):
        made = dsl.importer(artifact_uri=f"file://{path}", artifact_class=Dataset, reimport=False)
        read(data=made.output)
        read(data=dsl.importer(artifact_uri=path, artifact_class=Dataset).output)

    outcome = run(imports, path=f"{tmp_path}/it's data.txt")
    assert outcome.state == "succeeded"
    assert [outcome.of(step) for step in ("read", "read-2")] == [{"Output": "imported"}] * 2
    assert outcome.artifacts_of("importer")["artifact"][0]["type"] == "system.Dataset"


def test_the_file_is_left_where_it_is(run, tmp_path):
    """Importing and reading neither moves nor changes the file."""
    file = tmp_path / "data.txt"
    file.write_text("imported")

    @dsl.pipeline
    def imports(uri: str):
        read(data=dsl.importer(artifact_uri=uri, artifact_class=Dataset).output)

    run(imports, uri=str(file))
    assert file.read_text() == "imported"


def test_a_uri_elsewhere_and_metadata(run):
    """URI and metadata come from constants, parameters and outputs of tasks, metadata at any
    depth and also within texts. What lies elsewhere is not fetched unless somebody reads it."""

    @dsl.pipeline
    def imports(bucket: str, owner: str) -> dict[str, str]:
        key = say(text="models/it's 1")
        made = dsl.importer(
            artifact_uri=f"s3://{bucket}/{key.output}",
            artifact_class=Model,
            metadata={
                "owner": owner,
                "version": 3,
                "rate": 0.5,
                "tags": ["a", f"by {owner}", {"deep": key.output}],
            },
        )
        return look(model=made.output).output

    assert run(imports, bucket="b-1", owner="O'Neil").outputs["Output"] == {
        "class": "Model",
        "uri": "s3://b-1/models/it's 1",
        "metadata": {
            "owner": "O'Neil", "version": 3, "rate": 0.5,
            "tags": ["a", "by O'Neil", {"deep": "models/it's 1"}],
        },
    }  # fmt: skip


def test_importing_in_a_loop(run, tmp_path):
    """Each iteration imports its own."""
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"content of {name}")

    @dsl.component
    def join(texts: list) -> str:
        return ", ".join(texts)

    @dsl.pipeline
    def imports(folder: str) -> str:
        with dsl.ParallelFor(["a", "b"]) as name:
            made = dsl.importer(artifact_uri=f"{folder}/{name}", artifact_class=Dataset)
            text = read(data=made.output)
        return join(texts=dsl.Collected(text.output)).output

    assert run(imports, folder=str(tmp_path)).outputs == {"Output": "content of a, content of b"}


def test_a_changed_file_is_a_changed_input(cached_run, tmp_path):
    """What reads an imported file is reused while the file's content is the same, and run
    again when it is not, wherever the importer's own record comes from."""
    file = tmp_path / "data.txt"
    file.write_text("first")

    @dsl.pipeline
    def imports(uri: str):
        again = dsl.importer(artifact_uri=uri, artifact_class=Dataset, reimport=True)
        read(data=again.output)
        once = dsl.importer(artifact_uri=uri, artifact_class=Dataset, reimport=False)
        with dsl.ParallelFor(["x"]):
            read(data=once.output)

    def reads(outcome):
        steps = ("read", "for-loop-2/0/read-2")
        return [(outcome.of(step)["Output"], outcome.states[step]) for step in steps]

    assert {text for text, _ in reads(cached_run(imports, uri=str(file)))} == {"first"}
    assert reads(cached_run(imports, uri=str(file))) == [("first", "reused")] * 2
    file.write_text("other")
    changed = reads(cached_run(imports, uri=str(file)))
    assert {text for text, _ in changed} == {"other"}
    assert "succeeded" in {state for _, state in changed}


def test_a_file_that_is_not_there(run, tmp_path):
    """Importing a path of this machine where nothing lies fails, naming the path."""

    @dsl.pipeline
    def imports(uri: str):
        read(data=dsl.importer(artifact_uri=uri, artifact_class=Dataset).output)

    outcome = run(imports, uri=str(tmp_path / "missing.csv"))
    assert outcome.state == "failed"
    assert "missing.csv" in outcome.problem
