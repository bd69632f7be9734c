"""The run's own facts as values: KFP's placeholders."""

# ruff: noqa: UP014 (types and groups are written as KFP's users write them)

from datetime import datetime
from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Dataset, Output, OutputPath


@dsl.component
def say(text: str) -> str:
    return text


@dsl.component
def make(data: Output[Dataset]):
    with open(data.path, "w") as file:
        file.write("x")


def test_the_runs_id_is_the_same_in_every_step_and_new_in_every_run(cached_run):
    """`PIPELINE_JOB_ID_PLACEHOLDER` is the id of the run, in the middle of a text too, and no
    step that was told an earlier run's id is reused."""

    @dsl.pipeline
    def told() -> NamedTuple("Outputs", bare=str, within=str):
        outputs = NamedTuple("Outputs", bare=str, within=str)
        within = say(text=f"run {dsl.PIPELINE_JOB_ID_PLACEHOLDER} isn't old")
        return outputs(say(text=dsl.PIPELINE_JOB_ID_PLACEHOLDER).output, within.output)

    for outcome in (cached_run(told), cached_run(told)):
        run_id = outcome.result.run_id
        assert outcome.outputs == {"bare": run_id, "within": f"run {run_id} isn't old"}


def test_names_of_job_and_task(run):
    """The task's name is its key in the pipeline; the job's name and resource name belong to
    this pipeline's run."""

    @dsl.pipeline(name="my-pipeline")
    def told() -> NamedTuple("Outputs", task=str, job=str, resource=str, again=str):
        outputs = NamedTuple("Outputs", task=str, job=str, resource=str, again=str)
        task = say(text=dsl.PIPELINE_TASK_NAME_PLACEHOLDER)
        job = say(text=dsl.PIPELINE_JOB_NAME_PLACEHOLDER)
        resource = say(text=dsl.PIPELINE_JOB_RESOURCE_NAME_PLACEHOLDER)
        again = say(text=dsl.PIPELINE_TASK_NAME_PLACEHOLDER)
        return outputs(task.output, job.output, resource.output, again.output)

    outcome = run(told)
    outputs = outcome.outputs
    assert (outputs["task"], outputs["again"]) == ("say", "say-4")
    assert "my-pipeline" in outputs["job"]
    assert outcome.result.run_id in outputs["resource"]


def test_task_ids_are_all_different(run):
    """`PIPELINE_TASK_ID_PLACEHOLDER` tells tasks apart, and iterations of one task too."""

    @dsl.pipeline
    def told():
        say(text=dsl.PIPELINE_TASK_ID_PLACEHOLDER)
        with dsl.ParallelFor([1, 2]):
            say(text=dsl.PIPELINE_TASK_ID_PLACEHOLDER)

    outcome = run(told)
    ids = [outcome.of(step)["Output"] for step in outcome.states]
    assert len(ids) == len(set(ids)) == 3
    assert not any("{{" in one or not one for one in ids)


def test_the_root_is_where_outputs_lie(run):
    """`PIPELINE_ROOT_PLACEHOLDER` is the place under which the run's artifacts are kept."""

    @dsl.pipeline
    def told() -> str:
        make()
        return say(text=f"{dsl.PIPELINE_ROOT_PLACEHOLDER}/x").output

    outcome = run(told)
    root = outcome.outputs["Output"].removesuffix("/x")
    assert outcome.artifacts_of("make")["data"][0]["uri"].startswith(root)


def test_the_runs_time(run):
    """The time of creation is a UTC time in ISO 8601."""

    @dsl.pipeline
    def told() -> str:
        return say(text=dsl.PIPELINE_JOB_CREATE_TIME_UTC_PLACEHOLDER).output

    text = run(told).outputs["Output"]
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    assert moment.utcoffset() is not None
    assert abs(datetime.now(moment.tzinfo) - moment).total_seconds() < 600


def test_placeholders_in_a_containers_command(run):
    """The same placeholders stand in commands."""

    @dsl.container_component
    def tell(said: OutputPath(str)):
        return dsl.ContainerSpec(
            image="alpine:3",
            command=["sh", "-c", 'printf "%s" "$1" > "$0"', said],
            args=[f"{dsl.PIPELINE_JOB_ID_PLACEHOLDER} {dsl.PIPELINE_TASK_NAME_PLACEHOLDER}"],
        )

    @dsl.pipeline
    def told() -> str:
        return tell().outputs["said"]

    outcome = run(told)
    assert outcome.outputs == {"Output": f"{outcome.result.run_id} tell"}
