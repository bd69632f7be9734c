"""What a local Spark session is told, and its errors in few words. No JVM is started."""

from pathlib import Path

from headrace.engines.spark import SparkSpec, explain, local_settings

SCRATCH = Path("/scratch")


def settings(cpus=8, **spec):
    return local_settings(SparkSpec(**spec), app="run/step", scratch=SCRATCH, cpus=cpus)


def test_the_whole_of_them():
    assert settings(executors=2, cores=2, memory="3g") == {
        "spark.app.name": "run/step",
        "spark.master": "local[4]",
        "spark.driver.memory": "3g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.local.dir": "/scratch",
        "spark.sql.warehouse.dir": "/scratch/warehouse",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.session.timeZone": "UTC",
        "spark.log.level": "WARN",
    }


def test_no_more_threads_than_cores():
    assert settings(cpus=2, executors=8, cores=4)["spark.master"] == "local[2]"
    assert settings(cpus=1, executors=1)["spark.master"] == "local[1]"


def test_the_users_properties_win():
    chosen = {"spark.sql.shuffle.partitions": "3", "spark.sql.ansi.enabled": "false"}
    assert settings(conf=chosen) == settings() | chosen


def test_the_specification_as_plain_values():
    assert SparkSpec(memory="1g", conf={"spark.x": "1"}).to_dict() == {
        "executors": 2, "cores": 1, "memory": "1g", "conf": {"spark.x": "1"},
    }  # fmt: skip


def test_other_errors_are_not_sparks():
    assert explain(ValueError("no")) is None


def test_what_the_jvm_adds_is_left_out():
    """Spark's first lines say it; the plan and the stack of the JVM are for the log."""
    error_class = type("AnalysisException", (Exception,), {"__module__": "pyspark.errors"})
    error = error_class(
        "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `x` cannot be resolved. "
        "Did you mean one of the following? [`a`, `b`]. SQLSTATE: 42703;\n"
        "'Project ['x]\n"
        "+- Range (0, 10, step=1, splits=Some(2))\n\n"
        "JVM stacktrace:\norg.apache.spark.sql.AnalysisException\n\tat org.apache.spark.Main"
    )
    assert explain(error) == (
        "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `x` cannot be resolved. "
        "Did you mean one of the following? [`a`, `b`]. SQLSTATE: 42703;"
    )
