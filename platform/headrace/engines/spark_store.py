"""How Spark reads and writes an object store, and keeps its event logs there. Pure."""

from __future__ import annotations

from headrace.cluster import pods
from headrace.data.store import KEY_VARIABLE, SECRET_VARIABLE
from headrace.engines.spark_paths import spark_uri
from headrace.sites.cluster import StoreSettings

EVENTS = ("events", "spark")
"""The folder of Spark's event logs, below the site's part of the store."""
_S3A = "org.apache.hadoop.fs.s3a"
_CREDENTIALS = "software.amazon.awssdk.auth.credentials"
_CLOUD = "org.apache.spark.internal.io.cloud"


def event_log(store: StoreSettings) -> dict[str, str]:
    """Where Spark keeps what a history server shows."""
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": spark_uri("/".join([store.url.rstrip("/"), *EVENTS])),
        "spark.eventLog.overwrite": "true",
        "spark.eventLog.rolling.enabled": "true",
        "spark.eventLog.rolling.maxFileSize": "16m",
    }


def settings(store: StoreSettings) -> dict[str, str]:
    """How `s3a://` and `s3://` are read and written. Credentials are the environment's alone."""
    names = (KEY_VARIABLE, SECRET_VARIABLE) if store.secret else ()
    provider = "EnvironmentVariable" if names else "Default"
    there = {"fs.s3a.endpoint": store.endpoint, "fs.s3a.path.style.access": "true"}
    hadoop = {
        "fs.s3.impl": f"{_S3A}.S3AFileSystem",
        "fs.s3a.endpoint.region": store.region,
        **(there if store.endpoint else {}),
        "fs.s3a.aws.credentials.provider": f"{_CREDENTIALS}.{provider}CredentialsProvider",
        "fs.s3a.buffer.dir": f"{pods.WRITABLE['tmp']}/s3a",
        **_committer(),
    }
    return {
        **{f"spark.hadoop.{key}": value for key, value in hadoop.items()},
        "spark.sql.sources.commitProtocolClass": f"{_CLOUD}.PathOutputCommitProtocol",
        "spark.sql.parquet.output.committer.class": f"{_CLOUD}.BindingParquetOutputCommitter",
        **{
            f"spark.kubernetes.executor.secretKeyRef.{name}": f"{store.secret}:{name}"
            for name in names
        },
    }


def _committer() -> dict[str, str]:
    """Files appear when the job commits, by completing uploads: nothing is renamed or copied."""
    factory = f"{_S3A}.commit.S3ACommitterFactory"
    return {
        "fs.s3a.committer.name": "magic",
        "fs.s3a.committer.magic.enabled": "true",
        "mapreduce.outputcommitter.factory.scheme.s3a": factory,
        "mapreduce.outputcommitter.factory.scheme.s3": factory,
    }
