"""What a store says, and what people are told."""

import pytest

from headrace.data.refusals import refused

SILENT = (
    "Generic S3 error: Error performing PUT http://127.0.0.1:9/b/k in 3.000403s, after 2 retries, "
    "max_retries: 2, retry_timeout: 3s - HTTP error: error sending request"
)
FORBIDDEN = (
    "Error performing HEAD http://s3:9000/b/k in 1.1ms - Server returned non-2xx status code: "
    "403 Forbidden: "
)
WRONG_SECRET = f"{FORBIDDEN}<Error><Code>SignatureDoesNotMatch</Code></Error>"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (SILENT, f"The store does not answer as it should: {SILENT}"),
        (FORBIDDEN, "The store refuses it (HTTP 403)."),
        (WRONG_SECRET, "The store does not accept the credentials (SignatureDoesNotMatch)."),
    ],
)
def test_a_refusal_is_told_from_silence(said, told):
    assert refused(said, ["s3://b/k"]).what == told
