"""What an object store's refusals mean, and what to do about them."""

from __future__ import annotations

from headrace.core.errors import EnvironmentProblem


def no_bucket(bucket: str, where: list[str]) -> EnvironmentProblem:
    """There is no such bucket."""
    return EnvironmentProblem(
        f"The store has no bucket {bucket!r}.",
        where=where,
        hint="make the bucket, or correct store.url of the site",
    )


def refused(said: str, where: list[str]) -> EnvironmentProblem:
    """A refusal, or an answer that makes no sense, by what the store said."""
    code = said.partition("<Code>")[2].partition("</Code>")[0]
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch"):
        return EnvironmentProblem(
            f"The store does not accept the credentials ({code}).",
            where=where,
            hint="correct the Secret that store.secret of the site names",
        )
    if code or "status code: 403" in said or "PermissionDenied" in said:
        return EnvironmentProblem(
            f"The store refuses it ({code or 'HTTP 403'}).",
            where=where,
            hint="the account needs to list, read, write and delete below the site's store.url",
        )
    short = said.partition("Debug source")[0].strip().splitlines()[:1]
    return EnvironmentProblem(
        f"The store does not answer as it should: {''.join(short)[:300]}",
        where=where,
        hint="is it running, and is store.endpoint of the site right from here?",
    )
