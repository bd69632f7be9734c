"""Makes a site's buckets where there are none: `python -m headrace.data.bucket s3://BUCKET/PREFIX`.

The chart runs it in a pod of its own, once the store that it makes itself is up.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any
from urllib.parse import urlparse

_PATIENCE = 300.0
"""Seconds that a store may take to answer."""
_PAUSE = 2.0
_OURS = ("BucketAlreadyOwnedByYou", "BucketAlreadyExists")


def main(arguments: list[str] | None = None) -> int:
    """Make the buckets, and return 0 once they are there."""
    parser = argparse.ArgumentParser(prog="headrace-bucket", description=__doc__)
    parser.add_argument("urls", nargs="+", metavar="URL", help="s3://BUCKET or s3://BUCKET/PREFIX")
    parser.add_argument("--endpoint", default="", help="the service; AWS's own unless given")
    parser.add_argument("--region", default="us-east-1", help="the bucket's region")
    given = parser.parse_args(arguments)
    for name in dict.fromkeys(urlparse(url).netloc for url in given.urls):
        try:
            made = make(name, endpoint=given.endpoint, region=given.region)
        except Exception as error:
            print(f"The bucket {name} could not be made: {error}", file=sys.stderr)
            return 1
        print(f"The bucket {name} {'was made' if made else 'was there'}.")
    return 0


def make(name: str, *, endpoint: str = "", region: str, patience: float = _PATIENCE) -> bool:
    """Make a bucket. False if it was there, and may be used.

    Args:
        name: Its name.
        endpoint: The service's address; empty for AWS's own.
        region: Where it is to be.
        patience: Seconds for which a service that does not answer is asked again.

    Raises:
        botocore.exceptions.ClientError: The service refuses, or the bucket is somebody else's.
        botocore.exceptions.BotoCoreError: The service does not answer.
    """
    from botocore.exceptions import ClientError, ConnectionError, HTTPClientError

    client = _client(endpoint, region)
    place = {} if region == "us-east-1" else {"LocationConstraint": region}
    until = time.monotonic() + patience
    while True:
        try:
            client.create_bucket(
                Bucket=name, **({"CreateBucketConfiguration": place} if place else {})
            )
        except ClientError as error:
            if error.response["Error"]["Code"] not in _OURS:
                raise
            client.head_bucket(Bucket=name)  # refused if it is somebody else's
            return False
        except (ConnectionError, HTTPClientError):
            if time.monotonic() > until:
                raise
            time.sleep(_PAUSE)
        else:
            return True


def _client(endpoint: str, region: str) -> Any:
    import boto3
    from botocore.config import Config

    style = Config(s3={"addressing_style": "path" if endpoint else "auto"}, connect_timeout=5)
    return boto3.client("s3", endpoint_url=endpoint or None, region_name=region, config=style)


if __name__ == "__main__":
    sys.exit(main())
