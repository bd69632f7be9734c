"""What people are told when a Spark step on a cluster fails; the texts are Spark's own."""

import pytest

from headrace.engines.spark import explain
from headrace.engines.spark_executors import End
from headrace.engines.spark_failures import explained, is_without_cluster

MORE_MEMORY = "give each executor more with hr.spark(memory=…), or make partitions smaller"
LOST = """An error occurred while calling o182.collectToPython.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 1 in stage 2.0 failed 4 \
times, most recent failure: Lost task 1.3 in stage 2.0 (TID 6) (10.244.0.108 executor 1): \
ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason:
The executor with id 1 exited with exit code 137(SIGKILL, possible container OOM).
"""
CRASHED = LOST.replace(
    "ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason:",
    "org.apache.spark.SparkException: Python worker exited unexpectedly (crashed). Consider "
    "setting 'spark.sql.execution.pyspark.udf.faulthandler.enabled' to 'true'",
).replace("The executor with id 1 exited with exit code 137(SIGKILL, possible container OOM).", "")
STARVED = End(pod="p-exec-1", number="1", how="ran out of memory", memory=True, own_doing=True)
DELETED = End(pod="p-exec-2", number="2", how="was deleted")


def told(text, **facts):
    found = explained(RuntimeError(text), **{"ends": [], **facts})
    return None if found is None else (found.what, found.hint)


@pytest.mark.parametrize(
    "text, facts, what, hint",
    [
        (LOST, {"ends": [DELETED, STARVED]},
         "Executors had too little memory: executor 1 ran out of memory.", MORE_MEMORY),
        (LOST, {"ends": [DELETED]},
         "Executors were lost: executor 2 was deleted.", "run again; what is complete is kept"),
        (CRASHED, {"memory": "896Mi"},
         "Python ended suddenly on an executor. If nobody killed it, it was killed for want of "
         "memory in the executors' pods, which may use 896Mi each.", MORE_MEMORY),
        ("java.lang.OutOfMemoryError: Java heap space", {}, "",
         "what a step collects must fit into its own pod: collect less, or ask for more memory "
         "with set_memory_limit"),
        ("bucket is null/empty", {},
         "A path names no bucket: pathlib takes one of the slashes of s3a:// away.",
         'join paths of artifacts as texts, as in f"{table.path}/part"'),
        ("[Errno 2] No such file or directory: 's3a://bucket/run/table/x.json'", {}, "",
         "in a Spark step on a cluster an artifact's path is a URI, for Spark to read or write; "
         "write other files in a step of their own"),
        (": org.apache.hadoop.fs.s3a.UnknownStoreException: `s3a://nowhere/out': getFileStatus on "
         "s3a://nowhere/out: software.amazon.awssdk.services.s3.model.NoSuchBucketException: The "
         "specified bucket does not exist.", {}, "The store has no bucket 'nowhere'.", ""),
        ('Message: pods "s1" is forbidden: User "system:serviceaccount:ml:step" cannot get '
         'resource "pods" in API group "" in the namespace "ml".', {},
         "system:serviceaccount:ml:step may not get pods.",
         "have a Role with verb 'get' on 'pods' bound to it"),
    ],
)  # fmt: skip
def test_reasons(text, facts, what, hint):
    assert told(text, **facts) == (what, hint)


def test_what_speaks_for_itself_is_left_alone():
    assert told("[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column with name `x`") is None
    assert told("[Errno 2] No such file or directory: '/work/table.json'") is None


def test_a_driver_that_was_killed():
    what, hint = told("Answer from Java side is empty", jvm=-9)
    assert what == "Spark's driver was killed: its JVM ended by SIGKILL."
    assert "set_memory_limit" in hint
    assert told("…", jvm=1)[0] == "Spark's driver ended with exit code 1 in the middle of the step."
    assert told("…", jvm=-11)[0] == "Spark's driver ended by SIGSEGV in the middle of the step."


def test_executors_that_never_came():
    what, hint = told("Job 0 cancelled", given_up="No executor could start: no room", jvm=None)
    assert what == "No executor could start: no room"
    assert "limits.pending" in hint


def test_a_description_keeps_where_it_happened():
    found = explained(RuntimeError("bucket is null/empty"), ends=[])
    before = {"kind": "X", "what": "X: bucket", "hint": "", "traceback": "  File …"}
    assert found.over(before) == before | {"what": found.what, "hint": found.hint}


def spark_error(module, text):
    return type("Error", (Exception,), {"__module__": module})(text)


def test_the_task_that_failed_is_told_without_the_jvms_stack():
    assert explain(spark_error("py4j.protocol", CRASHED)) == (
        "a task of stage 2 failed 4 times: SparkException: Python worker exited unexpectedly "
        "(crashed). Consider setting 'spark.sql.execution.pyspark.udf.faulthandler.enabled' to "
        "'true'"
    )
    plain = "An error occurred while calling o164.parquet.\n: java.io.IOException: no"
    assert explain(spark_error("py4j.protocol", plain)) == "java.io.IOException: no"


def test_the_exception_of_a_function_on_an_executor_is_told_with_its_line():
    text = (
        "\n  An exception was thrown from the Python worker:\n"
        "Traceback (most recent call last):\n"
        '  File "/work/code/flights/steps.py", line 17, in bad\n'
        "    return 10 // (n - 5)\n"
        "           ~~~^^~~~~~~~~\n"
        "ZeroDivisionError: integer division or modulo by zero\n"
    )
    assert explain(spark_error("pyspark.errors", text)) == (
        "ZeroDivisionError: integer division or modulo by zero "
        "(/work/code/flights/steps.py:17 in bad, in a Python worker)"
    )


NO_SCHEDULER = (
    "An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.\n"
    ": org.apache.spark.SparkException: External scheduler cannot be instantiated\n"
    "\tat org.apache.spark.SparkContext$.createTaskScheduler(SparkContext.scala:3500)\n"
    "Caused by: io.fabric8.kubernetes.client.KubernetesClientException: "
)


@pytest.mark.parametrize(
    ("text", "silent"),
    [
        (f"{NO_SCHEDULER}Operation: [get]  for kind: [Pod]  failed.\nCaused by: "
         "java.net.ConnectException: Connection refused", True),
        (f"{NO_SCHEDULER}Failure executing: GET at: https://kubernetes.default.svc/api/v1/namespaces"
         "/a/pods/b. Message: Forbidden! User system:serviceaccount:a:b", False),
        ("java.net.ConnectException: Connection refused", False),
    ],
)  # fmt: skip
def test_whether_the_api_server_was_silent_when_spark_started(text, silent):
    assert is_without_cluster(RuntimeError(text)) is silent
