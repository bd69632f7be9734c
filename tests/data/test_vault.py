"""Backups of a store in another, on a real S3 service."""

import json
import os
import uuid
from dataclasses import replace

import pytest
from tests.site import bucket as temporary_bucket

from headrace.core.errors import EnvironmentProblem
from headrace.data import copying
from headrace.data import store as stores
from headrace.data.store import store_of
from headrace.data.vault import Backup, Vault, require_apart
from headrace.sites.cluster import StoreSettings


@pytest.fixture(
    params=["memory", pytest.param("s3", marks=pytest.mark.cluster)], ids=["memory", "s3"]
)
def bucket(request, monkeypatch):
    """A bucket of this test's own: in memory everywhere, and of a real service where one is."""
    if request.param == "s3":
        s3 = request.getfixturevalue("s3")
        with temporary_bucket(s3, f"headrace-test-{uuid.uuid4().hex[:8]}") as name:
            yield name
    else:
        from obstore.store import MemoryStore

        held = MemoryStore()
        monkeypatch.setattr(stores, "_bucket", lambda *given: held)
        yield "here"


def store_in(bucket):
    url = f"s3://{bucket}/{uuid.uuid4().hex[:6]}"
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    return store_of(StoreSettings(url=url, endpoint=endpoint), patience=3)


@pytest.fixture
def source(bucket):
    """A store with a result, what points to it, a journal and an empty folder's mark."""
    store = store_in(bucket)
    for path, content in {
        "site.json": b"whose it is",
        "artifacts/r/table": b"rows",
        "artifacts/r/copy": b"rows",
        "artifacts/r/folder/.empty-folder": b"",
        "cache/f.json": b"artifacts/r",
        "runs/r/events.jsonl": b"{}\n",
    }.items():
        store.write(store.uri(path), content)
    return store


@pytest.fixture
def vault(bucket):
    return Vault(store=store_in(bucket))


def save(vault, source, name, told=None, **more):
    def made(held, copied):
        return Backup(
            name=name, store=source.url, installation="i", began=1.0, seconds=2.0,
            objects=len(held), size=sum(one.size for one in held), copied=copied, **more,
        )  # fmt: skip

    return copying.save(source, vault, made, (told if told is not None else []).append)


def contents(store):
    return {path: store.read(store.uri(path)) for path in store.listing(store.url)}


def test_what_was_saved_is_put_back(vault, source, bucket):
    before = contents(source)
    backup = save(vault, source, "one", served=({"model": "m"},), versions={"mlflow": "3.1"})
    assert backup.objects == 5
    assert (backup.size, backup.copied) == (22, 18)  # two have the same content
    assert vault.names() == ["one"]
    assert vault.load("") == vault.load("one") == backup

    target = store_in(bucket)
    assert copying.put_back(vault, replace(backup), target, print) == (5, 0)
    assert contents(target) == {path: one for path, one in before.items() if path != "site.json"}


def test_what_points_to_others_is_listed_before_them(vault, source):
    save(vault, source, "one")
    first = [one.path.partition("/")[0] for one in vault.contents("one")]
    assert first == ["cache", "runs", "artifacts", "artifacts", "artifacts"]


def test_only_what_is_new_is_read_and_copied(vault, source, monkeypatch):
    save(vault, source, "one")
    source.write(source.uri("artifacts/r/more"), b"of them")
    source.write(source.uri("artifacts/r/table"), b"other rows")
    read = []
    original = type(source).read
    monkeypatch.setattr(
        type(source), "read", lambda self, uri: (read.append(uri), original(self, uri))[1]
    )
    backup = save(vault, source, "two")
    of_the_source = sorted(uri.rpartition("/")[2] for uri in read if uri.startswith(source.url))
    assert of_the_source == ["more", "table"]
    assert (backup.objects, backup.copied) == (6, 17)


def test_only_what_differs_is_written_and_what_came_later_goes(vault, source):
    backup = save(vault, source, "one")
    before = contents(source)
    source.write(source.uri("artifacts/r/table"), b"spoilt")
    source.write(source.uri("artifacts/later"), b"x")
    source.delete(source.uri("runs/r/events.jsonl"))
    assert copying.put_back(vault, backup, source, print) == (2, 1)
    assert contents(source) == before  # whose it is stays


def test_an_object_of_any_size(vault, bucket, monkeypatch, tmp_path):
    source, target = store_in(bucket), store_in(bucket)
    content = os.urandom(300_000)
    source.write(source.uri("artifacts/large"), content)
    monkeypatch.setattr(copying, "_IN_MEMORY", 100_000)
    backup = save(vault, source, "one")
    copying.put_back(vault, backup, target, print)
    assert target.read(target.uri("artifacts/large")) == content


def test_dumps_are_kept_beside(vault, source, tmp_path):
    (tmp_path / "mlflow.sql").write_text("CREATE TABLE runs;")
    kept = vault.keep(tmp_path / "mlflow.sql")
    backup = save(vault, source, "one", dumps={"mlflow.sql": kept})
    vault.check(backup)
    vault.fetch(backup.dumps["mlflow.sql"], tmp_path / "again.sql")
    assert (tmp_path / "again.sql").read_text() == "CREATE TABLE runs;"


@pytest.mark.parametrize(
    "name", ["plot#1.png", "is it?", "100 %", "%2F", "ünï", "a+b", "with 'quotes' & more"]
)
def test_a_name_of_any_kind(vault, bucket, name):
    source, target = store_in(bucket), store_in(bucket)
    source.write(source.uri("artifacts", name), b"x")
    backup = save(vault, source, "one")
    assert backup.objects == 1
    copying.put_back(vault, backup, target, print)
    assert contents(target) == {f"artifacts/{name}": b"x"}
    target.write(target.uri("artifacts", f"{name} too"), b"y")
    assert copying.put_back(vault, backup, target, print)[1] == 1  # removed
    assert contents(target) == {f"artifacts/{name}": b"x"}


# Not on the testbed's service, which keeps objects as files: there no file is a folder, too.
@pytest.mark.parametrize("bucket", ["memory"], indirect=True)
def test_an_object_with_others_below_it(vault, bucket):
    source, target = store_in(bucket), store_in(bucket)
    source.write(source.uri("out/part"), b"x")
    one = save(vault, source, "1")
    source.write(source.uri("out"), b"itself")
    two = save(vault, source, "2")
    assert [made.objects for made in (one, two)] == [1, 2]
    copying.put_back(vault, two, target, print)
    assert contents(target) == {"out": b"itself", "out/part": b"x"}
    assert copying.put_back(vault, one, target, print)[1] == 1
    assert contents(target) == {"out/part": b"x"}


def test_backups_and_what_they_are_of_do_not_lie_within_each_other(source):
    require_apart(replace(source, url=f"{source.url}-backups"), source)
    for url in (f"{source.url}/backups", source.url, source.url.rpartition("/")[0]):
        with pytest.raises(EnvironmentProblem, match="lie within each other"):
            require_apart(replace(source, url=url), source)
        require_apart(replace(source, url=url, endpoint="http://elsewhere"), source)


def test_a_site_that_is_made_anew_does_not_push_out_the_backups_of_the_one_before(vault, source):
    assert vault.knows("first")
    save(vault, source, "1")
    vault.admit("first")
    assert (vault.knows("first"), vault.knows("second")) == (True, False)
    vault.admit("second")
    assert vault.knows("second")


def content_of(vault, backup, path):
    [sha256] = [one.sha256 for one in vault.contents(backup.name) if one.path == path]
    return vault.store.uri("objects", sha256[:2], sha256)


def test_a_backup_that_lacks_something_changes_nothing(vault, source):
    backup = save(vault, source, "one")
    source.write(source.uri("artifacts/later"), b"x")
    before = contents(source)
    vault.store.delete(content_of(vault, backup, "cache/f.json"))
    with pytest.raises(EnvironmentProblem) as caught:
        copying.put_back(vault, backup, source, print)
    assert str(caught.value) == (
        "The backup one is not whole: it lacks 1 of 5 objects, such as cache/f.json.\n"
        f"  at: {vault.store.url}\n"
        "  try: take another one: one"
    )
    assert contents(source) == before


def test_a_content_that_is_not_what_it_was_is_not_put_back(vault, source, bucket):
    backup = save(vault, source, "one")
    vault.store.write(content_of(vault, backup, "cache/f.json"), b"artifacts/x")
    target = store_in(bucket)
    with pytest.raises(EnvironmentProblem, match=r"holds of cache/f\.json is damaged"):
        copying.put_back(vault, backup, target, print)
    assert target.read(target.uri("cache/f.json")) is None


def test_what_was_not_finished_is_no_backup(vault, source):
    with pytest.raises(ZeroDivisionError):
        copying.save(source, vault, lambda held, copied: 1 / 0, print)
    assert vault.names() == []
    with pytest.raises(EnvironmentProblem, match=r"^There is no backup\."):
        vault.load("")
    backup = save(vault, source, "one")
    assert backup.copied == 0  # what is there already is not copied again
    with pytest.raises(EnvironmentProblem, match="There is no backup 'on'") as caught:
        vault.load("on")
    assert caught.value.hint == "Did you mean 'one'?"


def test_what_goes_while_it_is_saved_is_left_out(vault, source, monkeypatch):
    original = type(source).listing

    def listing(self, uri):
        found = original(self, uri)
        if uri == source.url:
            source.delete(source.uri("artifacts/r/copy"))
        return found

    monkeypatch.setattr(type(source), "listing", listing)
    backup = save(vault, source, "one")
    assert [one.path for one in vault.contents("one") if one.path.endswith("copy")] == []
    vault.check(backup)


def test_the_oldest_go_with_what_only_they_held(vault, source):
    for name in ("20261127-1", "20261127-2", "20261127-3"):
        source.write(source.uri("runs/r/events.jsonl"), name.encode())
        save(vault, source, name)
    before = len(vault.store.listing(vault.store.uri("objects")))
    assert vault.prune(2) == ["20261127-1"]
    assert vault.names() == ["20261127-2", "20261127-3"]
    assert len(vault.store.listing(vault.store.uri("objects"))) == before - 1
    for name in vault.names():
        vault.check(vault.load(name))
    assert vault.prune(2) == []


def test_it_tells_how_far_it_is(vault, source, monkeypatch):
    monkeypatch.setattr(copying, "_TELL_SECONDS", 0.0)
    told = []
    save(vault, source, "one", told)
    assert told[-1] == "5 of 5 objects, 0.0 GB"
    assert json.dumps(told) == json.dumps([f"{n} of 5 objects, 0.0 GB" for n in range(1, 6)])
