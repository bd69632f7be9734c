"""Digests of content, and files that are there whole or not at all."""

import json
import os
import random
import shutil
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.running import artifacts as module
from headrace.running.artifacts import Artifact, Outputs, content_digest, whole, write_atomically
from headrace.running.reuse import find_earlier, fingerprint, keep
from headrace.sites.home import Home

NAMES = st.text("abé. -", min_size=1, max_size=4).filter(lambda n: n.strip(". ") and n.strip() == n)
TREES = st.dictionaries(NAMES, st.binary(max_size=8), min_size=1, max_size=4)


def make(folder, files, order=None):
    for name in order or files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])
    return folder


@settings(max_examples=50, deadline=None)
@given(TREES, TREES, st.randoms())
def test_a_digest_stands_for_names_and_contents(tmp_path_factory, one, other, shuffler):
    """The same whatever the order of writing; another for other names, contents or places."""
    root = tmp_path_factory.mktemp("digests")
    names = list(one)
    shuffler.shuffle(names)
    first = content_digest(make(root / "a", one))
    assert content_digest(make(root / "b", one, names)) == first
    assert (content_digest(make(root / "c", other)) == first) == (one == other)
    deeper = content_digest(make(root / "d" / "inner", one).parent)
    assert deeper != first


def test_a_file_and_the_same_file_in_a_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "data", tmp_path / "folder" / "data"):
        path.write_bytes(b"x")
    assert content_digest(tmp_path / "data") != content_digest(tmp_path / "folder")
    assert content_digest(tmp_path / "data") == content_digest(tmp_path / "folder" / "data")
    assert content_digest(tmp_path / "data") == (
        "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
    )


def test_names_cannot_run_into_contents(tmp_path):
    """Two files cannot be written so that they look like one."""
    one = make(tmp_path / "one", {"a": b"", "b": b""})
    digest = content_digest(one / "a").removeprefix("sha256:")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / f"a\t{digest}").write_bytes(b"")
    assert content_digest(one) != content_digest(tmp_path / "two")


def test_nothing_has_no_digest_and_an_empty_folder_has_one(tmp_path):
    assert content_digest(tmp_path / "nothing") is None
    (tmp_path / "empty").mkdir()
    assert content_digest(tmp_path / "empty").startswith("sha256:")


def test_larger_than_a_block(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(random.Random(1).randbytes(2**20 + 1))
    before = content_digest(path)
    with path.open("r+b") as out:
        out.seek(2**20)
        out.write(b"\0" if path.read_bytes()[-1] else b"\1")
    assert content_digest(path) != before


def artifact(path, **more):
    return Artifact(
        name="data", type="system.Dataset", uri=str(path), digest=content_digest(path), **more
    )


def truncated(folder):
    with (folder / "b" / "c").open("r+b") as out:
        out.truncate(1)


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        lambda folder: (folder / "a").unlink(),
        lambda folder: shutil.rmtree(folder),
        lambda folder: (folder / "more").write_bytes(b""),
        lambda folder: (folder / "a").rename(folder / "z"),
        lambda folder: (folder / "a").write_bytes(b"fIrst"),
    ],
)
def test_damage_is_seen(tmp_path, damage):
    folder = make(tmp_path / "folder", {"a": b"first", "b/c": b"second"})
    made = artifact(folder)
    assert whole(made)
    damage(folder)
    assert not whole(made)


def test_what_lies_elsewhere_is_taken_on_trust():
    for uri in ("s3://bucket/key", ""):
        made = Artifact(name="x", type="system.Dataset", uri=uri)
        assert (made.path, whole(made)) == (None, True)


def test_places(tmp_path):
    assert artifact(tmp_path).path == tmp_path
    made = Artifact(name="x", type="t", uri=f"file://{tmp_path}")
    assert made.path == tmp_path


def test_identity():
    """For a step that reads it: type, content and metadata; not where it lies."""
    one = Artifact(name="a", type="t", uri="/one", metadata={"k": 1}, digest="sha256:1")
    same = Artifact(name="b", type="t", uri="/two", metadata={"k": 1}, digest="sha256:1")
    others = [
        Artifact(name="a", type="u", uri="/one", metadata={"k": 1}, digest="sha256:1"),
        Artifact(name="a", type="t", uri="/one", metadata={"k": 2}, digest="sha256:1"),
        Artifact(name="a", type="t", uri="/one", metadata={"k": 1}, digest="sha256:2"),
    ]
    assert one.identity == same.identity
    assert all(one.identity != other.identity for other in others)


def test_outputs_as_plain_values(tmp_path):
    outputs = Outputs(
        parameters={"n": 1, "t": ["x"]},
        artifacts={"data": [artifact(tmp_path, metadata={"k": 1})], "none": []},
    )
    assert Outputs.from_dict(json.loads(json.dumps(outputs.to_dict()))) == outputs


def test_a_crash_while_writing_leaves_the_old(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "facts.json"
    write_atomically(path, {"a": 1})

    class Unwritable:
        pass

    with pytest.raises(TypeError):
        write_atomically(path, {"b": Unwritable()})
    monkeypatch.setattr(module.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, {"c": 3})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(path.parent.iterdir()) == [path]


def test_readers_see_all_or_nothing(tmp_path):
    """While one writes again and again, another never reads a part."""
    path = tmp_path / "facts.json"
    write_atomically(path, [0] * 1000)
    stop, seen = threading.Event(), []

    def read():
        while not stop.is_set():
            seen.append(len(json.loads(path.read_text())))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(30):
        write_atomically(path, [number] * 1000)
    stop.set()
    reader.join()
    assert set(seen) == {1000}


FACTS = {
    "program": ["image", ["sh"]], "parameters": {"a": 1}, "artifacts": {}, "outputs": {"x": "t"},
    "environment": "here",
}  # fmt: skip


def test_fingerprints():
    """Everything that a step depends on is in it, and the order of names is not."""
    data = Artifact(name="d", type="t", uri="/d", digest="sha256:1")
    other = Artifact(name="d", type="t", uri="/d", digest="sha256:2")
    keys = [
        fingerprint(**FACTS | change)
        for change in (
            {}, {"program": ["image", ["sh", "-c"]]}, {"parameters": {"a": 2}},
            {"parameters": {"a": "1"}}, {"parameters": {"a": True}}, {"parameters": {"a": None}},
            {"parameters": {}}, {"artifacts": {"d": [data]}}, {"artifacts": {"d": [other]}},
            {"artifacts": {"e": [data]}}, {"artifacts": {"d": [data, data]}},
            {"artifacts": {"d": []}}, {"outputs": {}}, {"environment": "there"},
        )
    ]  # fmt: skip
    assert len(set(keys)) == len(keys)
    one = fingerprint(**FACTS | {"parameters": {"a": 1, "b": {"c": 1, "d": 2}}})
    assert one == fingerprint(**FACTS | {"parameters": {"b": {"d": 2, "c": 1}, "a": 1}})


@pytest.fixture
def kept(tmp_path):
    """A home with one complete result under the key `k`, and its folder."""
    home = Home(root=tmp_path / "home").ensure()
    folder = make(home.artifacts / "run-1" / "step", {"data": b"content"})
    outputs = Outputs(parameters={"n": 1}, artifacts={"data": [artifact(folder / "data")]})
    keep(home, folder, key="k", run="run-1", step="step", outputs=outputs)
    return home, folder, outputs


def test_an_earlier_result(kept):
    home, _, outputs = kept
    found = find_earlier(home, "k")
    assert (found.run, found.outputs) == ("run-1", outputs)
    assert find_earlier(home, "other") is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda home, folder: (folder / "data").unlink(),
        lambda home, folder: (folder / "data").write_bytes(b"contenT"),
        lambda home, folder: (folder / "manifest.json").unlink(),
        lambda home, folder: (folder / "manifest.json").write_text(""),
        lambda home, folder: (folder / "manifest.json").write_text("[]"),
        lambda home, folder: (folder / "manifest.json").write_text('{"fingerprint": "k"}'),
        lambda home, folder: (home.cache / "k.json").write_text("{"),
        lambda home, folder: (home.cache / "k.json").write_text("{}"),
        lambda home, folder: (
            shutil.copy(home.cache / "k.json", home.cache / "other.json")
            and (home.cache / "k.json").unlink()
        ),
    ],
)
def test_a_damaged_result_does_not_count(kept, damage):
    """Whatever is missing, cut short or something else: the step runs again."""
    home, folder, _ = kept
    damage(home, folder)
    assert find_earlier(home, "k") is None
    assert find_earlier(home, "other") is None


def test_a_home_may_move(kept, tmp_path):
    """Entries are relative to the home; what was moved along with it is found whole."""
    home, _, _ = kept
    moved = tmp_path / "moved"
    os.rename(home.root, moved)
    assert find_earlier(Home(root=moved), "k") is None  # its artifacts name the old place
