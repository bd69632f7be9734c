"""The store, on a real S3 service: what is written is read, listed, digested and removed.

The service is the one that AWS_ENDPOINT_URL names; without it these tests are skipped.
"""

import os
import uuid

import pytest
from tests.site import bucket as temporary_bucket

from headrace.core.errors import EnvironmentProblem
from headrace.data import store as stores
from headrace.data.store import Store, digest_of, local_path, store_of
from headrace.sites.cluster import StoreSettings

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def bucket(s3):
    """A bucket of this test's own, removed with all that is in it."""
    with temporary_bucket(s3, f"headrace-test-{uuid.uuid4().hex[:8]}") as name:
        yield name


@pytest.fixture
def store(bucket):
    settings = StoreSettings(
        url=f"s3://{bucket}/{uuid.uuid4().hex[:6]}", endpoint=os.environ["AWS_ENDPOINT_URL"]
    )
    return store_of(settings, patience=3)


def test_an_object_is_read_as_it_was_written(store):
    uri = store.uri("a", "b c", "é.json")
    assert store.read(uri) is None
    store.write(uri, b"one")
    store.write(uri, b"two")
    assert store.read(uri) == b"two"
    (entry,) = store.listing(uri).items()
    assert (entry[0], entry[1].size, entry[1].etag) == ("", 3, '"b8a9f715dbb64fd5c56e7783c6820a61"')


def test_folders_and_files_travel(store, tmp_path):
    source = tmp_path / "source"
    (source / "part=1" / "deep").mkdir(parents=True)
    (source / "part=1" / "deep" / "x").write_bytes(b"x" * 100)
    (source / "_SUCCESS").write_bytes(b"")
    store.upload(source, store.uri("folder"))
    store.upload(source / "_SUCCESS", store.uri("lone"))
    assert sorted(store.listing(store.uri("folder"))) == ["_SUCCESS", "part=1/deep/x"]
    assert store.download(store.uri("folder"), tmp_path / "target")
    assert store.download(store.uri("lone"), tmp_path / "lone")
    found = sorted(one for one in (tmp_path / "target").rglob("*") if one.is_file())
    assert [(str(one.relative_to(tmp_path / "target")), one.read_bytes()) for one in found] == [
        ("_SUCCESS", b""), ("part=1/deep/x", b"x" * 100),
    ]  # fmt: skip
    assert (tmp_path / "lone").read_bytes() == b""
    assert not store.download(store.uri("nothing"), tmp_path / "nothing")


def test_a_neighbour_whose_name_begins_alike_is_not_part_of_it(store):
    store.write(store.uri("table", "a"), b"1")
    store.write(store.uri("table-2", "b"), b"2")
    assert list(store.listing(store.uri("table"))) == ["a"]
    assert store.delete(store.uri("table")) == 1
    assert list(store.listing(store.uri("table-2"))) == ["b"]


def test_a_large_file_is_whole(store, tmp_path):
    content = os.urandom(2**20) * 24
    (tmp_path / "large").write_bytes(content)
    store.upload(tmp_path / "large", store.uri("large"))
    assert store.download(store.uri("large"), tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content


def test_a_digest_changes_with_the_content_and_its_names(store):
    uri = store.uri("data")
    assert store.digest(uri) is None
    store.write(f"{uri}/a", b"1")
    first = store.digest(uri)
    store.write(f"{uri}/a", b"2")
    second = store.digest(uri)
    store.write(f"{uri}/b", b"2")
    third = store.digest(uri)
    assert len({first, second, third}) == 3
    store.delete(f"{uri}/b")
    store.write(f"{uri}/a", b"1")
    assert store.digest(uri) == first


def test_what_is_wrong_with_a_store(bucket):
    """Each with what to do about it."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    good = {"url": f"s3://{bucket}/x", "endpoint": endpoint, "region": "us-east-1",
            "key": os.environ["AWS_ACCESS_KEY_ID"],
            "secret": os.environ["AWS_SECRET_ACCESS_KEY"], "patience": 3}  # fmt: skip
    wrong = {
        "has no bucket 'no-such-bucket'": {"url": "s3://no-such-bucket/x"},
        "does not accept the credentials": {"secret": "wrong"},
        "does not answer": {"endpoint": "http://127.0.0.1:9"},
    }
    for what, change in wrong.items():
        store = Store(**good | change)
        for ask in (
            lambda store: store.write(store.uri("k"), b""),
            lambda store: store.read(store.uri("k")),
            lambda store: store.listing(store.uri("k")),
        ):
            with pytest.raises(EnvironmentProblem, match=what) as caught:
                ask(store)
            assert caught.value.hint
            assert good["secret"] not in str(caught.value)
    assert good["secret"] not in repr(Store(**good))


def test_folder_marks_are_no_files(store, bucket, s3):
    """Spark leaves empty objects in the place of folders."""
    prefix = store.url.removeprefix(f"s3://{bucket}/")
    for name in ("table/", "table/part=1/"):
        s3.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=b"")
    store.write(store.uri("table", "part=1", "x"), b"1")
    assert list(store.listing(store.uri("table"))) == ["part=1/x"]
    marks = store.folder_marks(store.uri("table"))
    assert marks == [f"{prefix}/table/", f"{prefix}/table/part=1/"]


def test_empty_folders_travel_too(store, tmp_path):
    (tmp_path / "source" / "a" / "empty").mkdir(parents=True)
    (tmp_path / "source" / "x").write_bytes(b"x")
    store.upload(tmp_path / "source", store.uri("grown"))
    assert store.download(store.uri("grown"), tmp_path / "target")
    found = sorted(
        str(one.relative_to(tmp_path / "target")) for one in tmp_path.rglob("target/**/*")
    )
    assert found == ["a", "a/empty", "x"]
    store.upload(tmp_path / "target" / "a" / "empty", store.uri("nothing-in-it"))
    assert store.download(store.uri("nothing-in-it"), tmp_path / "again")
    assert list((tmp_path / "again").iterdir()) == []


def test_what_is_out_of_reach_has_no_digest_unless_it_is_the_sites_own(store, bucket):
    assert store.holds(f"s3://{bucket}/anything")
    assert not store.holds("s3://another/anything")
    assert store.known_digest("s3://headrace-no-such-bucket/x") is None
    elsewhere = stores.Store(**{**vars(store), "url": "s3://headrace-no-such-bucket/site"})
    with pytest.raises(EnvironmentProblem, match="no bucket 'headrace-no-such-bucket'"):
        elsewhere.known_digest("s3://headrace-no-such-bucket/x")


def test_where_things_lie_in_a_pod():
    assert str(local_path("s3://bucket/a/b")) == "/s3/bucket/a/b"
    assert digest_of({}) is None
    assert stores.KEY_VARIABLE == "AWS_ACCESS_KEY_ID"
