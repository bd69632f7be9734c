"""Artifacts: each class, its metadata, files and folders, lists, and who may write where."""

# ruff: noqa: UP014, UP045 (types and groups are written as KFP's users write them)

from typing import NamedTuple, Optional

import pytest
from kfp import dsl
from kfp.dsl import (
    HTML,
    Artifact,
    ClassificationMetrics,
    Dataset,
    Input,
    InputPath,
    Markdown,
    Metrics,
    Model,
    Output,
    OutputPath,
)


@dsl.component
def make(data: Output[Dataset], text: str = "rows"):
    with open(data.path, "w") as file:
        file.write(text)
    data.metadata["length"] = len(text)


@dsl.component
def read(data: Input[Dataset]) -> str:
    with open(data.path) as file:
        return f"{type(data).__name__} {file.read()} {data.metadata['length']}"


def test_each_class_with_its_content_and_metadata(run):
    """An output artifact's file and metadata, as the function left them, are what a consumer
    is given, in the class of the consumer's annotation; the type is on record."""

    @dsl.component
    def write(
        artifact: Output[Artifact], data: Output[Dataset], model: Output[Model],
        page: Output[HTML], text: Output[Markdown],
    ):  # fmt: skip
        for one in (artifact, data, model, page, text):
            with open(one.path, "w") as file:
                file.write(f"content of {one.name}")
            one.metadata.update({"who's": "it's", "n": 1, "deep": {"list": [1.5, True]}})
        model.framework = "torch"

    @dsl.component
    def look(
        artifact: Input[Artifact], data: Input[Dataset], model: Input[Model],
        page: Input[HTML], text: Input[Markdown],
    ) -> dict[str, list]:  # fmt: skip
        given = {"artifact": artifact, "data": data, "model": model, "page": page, "text": text}
        found = {}
        for key, one in given.items():
            with open(one.path) as file:
                content = file.read().startswith("content of ")
            found[key] = [type(one).__name__, content, one.metadata]
        return found

    @dsl.pipeline
    def classes() -> dict[str, list]:
        made = write().outputs
        return look(
            artifact=made["artifact"], data=made["data"], model=made["model"],
            page=made["page"], text=made["text"],
        ).output  # fmt: skip

    outcome = run(classes)
    said = {"who's": "it's", "n": 1, "deep": {"list": [1.5, True]}}
    assert outcome.state == "succeeded"
    assert outcome.outputs["Output"] == {
        "artifact": ["Artifact", True, said],
        "data": ["Dataset", True, said],
        "model": ["Model", True, {**said, "framework": "torch"}],
        "page": ["HTML", True, said],
        "text": ["Markdown", True, said],
    }
    made = outcome.artifacts_of("write")
    types = {key: [one["type"] for one in some] for key, some in made.items()}
    assert types == {
        "artifact": ["system.Artifact"], "data": ["system.Dataset"], "model": ["system.Model"],
        "page": ["system.HTML"], "text": ["system.Markdown"],
    }  # fmt: skip


def test_metrics_need_no_file(run):
    """Metrics live in metadata: nothing has to be written to the artifact's path."""

    @dsl.component
    def score(scores: Output[Metrics], curve: Output[ClassificationMetrics]):
        scores.log_metric("auc", 0.75)
        scores.log_metric("folds", 5)
        curve.log_confusion_matrix(["no", "yes"], [[5, 1], [2, 7]])
        curve.log_roc_curve([0.0, 0.5, 1.0], [0.0, 0.8, 1.0], [2.0, 0.5, 0.0])

    @dsl.component
    def use(scores: Input[Metrics], curve: Input[ClassificationMetrics]) -> dict:
        return {"scores": scores.metadata, "matrix": curve.metadata["confusionMatrix"]["rows"]}

    @dsl.pipeline
    def scored() -> dict:
        made = score().outputs
        return use(scores=made["scores"], curve=made["curve"]).output

    outcome = run(scored)
    assert outcome.outputs["Output"] == {
        "scores": {"auc": 0.75, "folds": 5},
        "matrix": [{"row": [5, 1]}, {"row": [2, 7]}],
    }
    assert outcome.artifacts_of("score")["scores"][0]["metadata"] == {"auc": 0.75, "folds": 5}
    curve = outcome.artifacts_of("score")["curve"][0]
    assert (curve["type"], len(curve["metadata"]["confidenceMetrics"])) == (
        "system.ClassificationMetrics", 3,
    )  # fmt: skip


def test_a_metric_that_is_not_a_number(run):
    """A diverged loss is NaN or infinite; that is a result like any other."""

    @dsl.component
    def diverge(scores: Output[Metrics]):
        scores.log_metric("loss", float("nan"))
        scores.log_metric("norm", float("inf"))

    @dsl.component
    def use(scores: Input[Metrics]) -> str:
        return f"{scores.metadata['loss']} {scores.metadata['norm']}"

    @dsl.pipeline
    def diverged() -> str:
        return use(scores=diverge().outputs["scores"]).output

    assert run(diverged).outputs == {"Output": "nan inf"}


def test_an_artifact_may_be_a_folder(run):
    """The path may be made a folder; its whole tree is the artifact."""

    @dsl.component
    def grow(model: Output[Model]):
        import os

        os.makedirs(os.path.join(model.path, "sub", "empty"))
        for name in ("a", "sub/b"):
            with open(os.path.join(model.path, name), "w") as file:
                file.write(name)

    @dsl.component
    def walk(model: Input[Model]) -> list[str]:
        import os

        return sorted(
            os.path.relpath(os.path.join(folder, name), model.path)
            for folder, folders, files in os.walk(model.path)
            for name in [*folders, *files]
        )

    @dsl.pipeline
    def folder() -> list[str]:
        return walk(model=grow().outputs["model"]).output

    assert run(folder).outputs["Output"] == ["a", "sub", "sub/b", "sub/empty"]


def test_paths_instead_of_artifacts(run):
    """`OutputPath('Dataset')` and `InputPath('Dataset')` give bare paths of the artifact."""

    @dsl.component
    def write(data: OutputPath("Dataset")):
        with open(data, "w") as file:
            file.write("by path")

    @dsl.component
    def look(data: InputPath("Dataset")) -> str:
        with open(data) as file:
            return file.read()

    @dsl.pipeline
    def paths() -> str:
        return look(data=write().outputs["data"]).output

    outcome = run(paths)
    assert outcome.outputs["Output"] == "by path"
    assert outcome.artifacts_of("write")["data"][0]["type"] == "system.Dataset"


def test_an_artifact_returned_from_the_function(run):
    """A component may build its artifact itself, at `dsl.get_uri()`, and return it."""

    @dsl.component
    def build(text: str) -> Dataset:
        data = Dataset(uri=dsl.get_uri(), metadata={"length": len(text)})
        with open(data.path, "w") as file:
            file.write(text)
        return data

    @dsl.component
    def both() -> NamedTuple("Outputs", data=Dataset, model=Model, count=int):
        outputs = NamedTuple("Outputs", data=Dataset, model=Model, count=int)
        data = Dataset(uri=dsl.get_uri("one"), metadata={"length": 1})
        model = Model(uri=dsl.get_uri("two"), metadata={"length": 2})
        for one in (data, model):
            with open(one.path, "w") as file:
                file.write("x" * one.metadata["length"])
        return outputs(data, model, 2)

    @dsl.component
    def look(data: Dataset, model: Model) -> str:
        with open(data.path) as first, open(model.path) as second:
            return f"{first.read()} {second.read()}"

    @dsl.pipeline
    def returned() -> NamedTuple("Outputs", first=str, second=str, count=int):
        made = both().outputs
        outputs = NamedTuple("Outputs", first=str, second=str, count=int)
        return outputs(
            look(data=build(text="built").output, model=made["model"]).output,
            look(data=made["data"], model=made["model"]).output,
            made["count"],
        )

    assert run(returned).outputs == {"first": "built xx", "second": "x xx", "count": 2}


def test_an_optional_artifact_that_is_not_given_is_none(run):
    """`Optional[Input[...]] = None` may be left out, also through a nested pipeline."""

    @dsl.component
    def look(data: Optional[Input[Dataset]] = None) -> str:
        return "nothing" if data is None else f"length {data.metadata['length']}"

    @dsl.pipeline
    def inner(data: Optional[Input[Dataset]] = None) -> str:
        return look(data=data).output

    @dsl.pipeline
    def optional() -> NamedTuple("Outputs", bare=str, without=str, given=str):
        outputs = NamedTuple("Outputs", bare=str, without=str, given=str)
        return outputs(look().output, inner().output, inner(data=make().outputs["data"]).output)

    assert run(optional).outputs == {"bare": "nothing", "without": "nothing", "given": "length 4"}


def test_an_artifact_that_lies_elsewhere(run):
    """A function may point its artifact at a place of its own; consumers get that URI."""

    @dsl.component
    def point(data: Output[Dataset]):
        data.uri = "s3://bucket/key with space/it's"
        data.metadata["length"] = 3

    @dsl.component
    def look(data: Input[Dataset]) -> str:
        return f"{data.uri} {data.metadata['length']}"

    @dsl.pipeline
    def elsewhere() -> str:
        return look(data=point().outputs["data"]).output

    outcome = run(elsewhere)
    assert outcome.outputs["Output"] == "s3://bucket/key with space/it's 3"


@pytest.mark.laptop
def test_an_artifact_at_a_path_of_the_functions_choice(run, tmp_path):
    """`set_path` lets a function write its artifact at a path that it needs; consumers get
    the content all the same."""

    @dsl.component
    def write(where: str, data: Output[Dataset]):
        data.set_path(where)
        with open(data.path, "w") as file:
            file.write("chosen")
        data.metadata["length"] = 6

    @dsl.pipeline
    def chosen(where: str) -> str:
        return read(data=write(where=where).outputs["data"]).output

    outcome = run(chosen, where=str(tmp_path / "chosen.txt"))
    assert outcome.outputs["Output"] == "Dataset chosen 6"


def test_one_artifact_for_many_consumers(run):
    """Consumers share an artifact; what one of them does to its own handle is its own affair."""

    @dsl.component
    def meddle(data: Input[Dataset]) -> int:
        data.metadata["length"] = 99
        return data.metadata["length"]

    @dsl.pipeline
    def shared() -> NamedTuple("Outputs", before=str, after=str):
        data = make().outputs["data"]
        meddling = meddle(data=data)
        outputs = NamedTuple("Outputs", before=str, after=str)
        return outputs(read(data=data).output, read(data=data).after(meddling).output)

    assert run(shared).outputs == {"before": "Dataset rows 4", "after": "Dataset rows 4"}


def test_a_pipeline_gives_its_artifacts_out(run, local_path):
    """A pipeline's output may be an artifact, or a list of them."""

    @dsl.pipeline
    def outputs() -> NamedTuple("Outputs", one=Dataset, many=list[Dataset]):
        with dsl.ParallelFor(["a", "bc"]) as text:
            each = make(text=text)
        given = NamedTuple("Outputs", one=Dataset, many=list[Dataset])
        return given(make().outputs["data"], dsl.Collected(each.outputs["data"]))

    made = run(outputs).outputs
    one = made["one"][0] if isinstance(made["one"], list) else made["one"]
    assert local_path(one).read_text() == "rows"
    assert [local_path(one).read_text() for one in made["many"]] == ["a", "bc"]
    assert [one["metadata"] for one in made["many"]] == [{"length": 1}, {"length": 2}]


def test_every_artifact_is_on_record_with_a_digest(run):
    """An artifact has a name, a type, a place and a digest of its content; equal content has
    an equal digest, other content another."""

    @dsl.pipeline
    def recorded():
        make(text="same")
        make(text="same").set_caching_options(False)
        make(text="other")

    outcome = run(recorded)
    made = [outcome.artifacts_of(step)["data"][0] for step in ("make", "make-2", "make-3")]
    digests = [one["digest"] for one in made]
    assert all(digest.startswith("sha256:") and len(digest) == 71 for digest in digests)
    assert digests[0] == digests[1] != digests[2]


def test_inputs_are_on_record(run):
    """A step's record names the artifacts that it was given, digests included."""

    @dsl.pipeline
    def recorded():
        read(data=make().outputs["data"])

    outcome = run(recorded)
    step = next(one for one in outcome.result.steps if one.step == "read")
    assert step.inputs["data"] == outcome.artifacts_of("make")["data"]
