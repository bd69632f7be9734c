"""The project's code as a bundle: what goes in, its digest, and how it is unpacked."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.compiling import bundle as bundling
from headrace.compiling.bundle import make_bundle
from headrace.compiling.pipeline import compile_pipeline, find_pipeline
from headrace.core.errors import UsageError
from headrace.sites.home import Home


@pytest.fixture
def root(tmp_path):
    """A project with code, data, and much that is neither."""
    root = tmp_path / "root"
    for name in (
        "flights/pipeline.py", "flights/steps.py", "flights/queries/a.sql", "flights/README.md",
        "flights/__pycache__/steps.cpython-311.pyc", "flights/old.pyc", "flights/.git/config",
        "flights/.venv/bin/python", "flights/.headrace/runs/x", "flights/.pytest_cache/x",
        "flights/flights.egg-info/PKG-INFO", "flights/deep/node_modules/x.js", "flights/.env",
        "shared/words.py", "other/pipeline.py",
    ):  # fmt: skip
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"content of {name}")
    (root / "flights/compiled.yaml").write_text("# PIPELINE DEFINITION\n# Name: flights\n")
    (root / "flights/settings.yaml").write_text("a: 1\n")
    (root / "flights/link.py").symlink_to(root / "other" / "pipeline.py")
    return root


FILES = (
    "flights/README.md", "flights/pipeline.py", "flights/queries/a.sql", "flights/settings.yaml",
    "flights/steps.py",
)  # fmt: skip


def test_what_goes_in(root):
    """The folder without hidden files and tools' leavings; and modules from elsewhere."""
    assert make_bundle(root, root / "flights").files == FILES
    more = make_bundle(root, root / "flights", (root / "shared/words.py",))
    assert more.files == (*FILES, "shared/words.py")
    assert more.digest != make_bundle(root, root / "flights").digest
    assert make_bundle(root, root / "shared/words.py").files == ("shared/words.py",)


def test_modules_from_outside_the_root_stay_out(root, tmp_path):
    stranger = tmp_path / "stranger.py"
    stranger.write_text("")
    assert make_bundle(root, root / "flights", (stranger,)).files == FILES


def test_the_digest_goes_by_names_and_contents_alone(root, tmp_path):
    before = make_bundle(root, root / "flights")
    copy = tmp_path / "elsewhere" / "root"
    shutil.copytree(root, copy, symlinks=True)
    for one in copy.rglob("*.py"):
        os.utime(one, (1, 1), follow_symlinks=False)
    assert make_bundle(copy, copy / "flights").digest == before.digest
    (copy / "flights/steps.py").rename(copy / "flights/moves.py")
    renamed = make_bundle(copy, copy / "flights").digest
    (copy / "flights/moves.py").rename(copy / "flights/steps.py")
    (copy / "flights/steps.py").write_text("other")
    changed = make_bundle(copy, copy / "flights").digest
    assert len({before.digest, renamed, changed}) == 3


def test_too_much(root, monkeypatch):
    """The error names what is large."""
    monkeypatch.setattr(bundling, "LIMIT", 2 * 2**20)
    for name, size in (("a.bin", 1), ("b.bin", 3), ("c.bin", 2)):
        (root / "flights" / name).write_bytes(bytes(size * 2**20))
    with pytest.raises(UsageError) as wrong:
        make_bundle(root, root / "flights")
    folder = root / "flights"
    assert str(wrong.value) == (
        "The pipeline's folder holds 6 MiB; its code may take 2.\n"
        f"  at: {folder / 'b.bin'} (3 MiB)\n"
        f"  at: {folder / 'c.bin'} (2 MiB)\n"
        f"  at: {folder / 'a.bin'} (1 MiB)\n"
        "  try: keep data outside the pipeline's folder and pass it as an input"
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        one.relative_to(folder).as_posix(): one.read_bytes()
        for one in folder.rglob("*") if one.is_file()
    }  # fmt: skip


def test_unpacking(root, tmp_path):
    made = make_bundle(root, root / "flights")
    folder = made.unpack(tmp_path / "code")
    assert folder == tmp_path / "code" / made.digest.removeprefix("sha256:")
    assert contents(folder) == {name: (root / name).read_bytes() for name in FILES}
    assert list((tmp_path / "code").iterdir()) == [folder]


def test_unpacked_once(root, tmp_path):
    made = make_bundle(root, root / "flights")
    folder = made.unpack(tmp_path / "code")
    stamp = folder.stat().st_mtime_ns
    assert made.unpack(tmp_path / "code") == folder
    assert folder.stat().st_mtime_ns == stamp


def test_unpacked_by_many_at_once(root, tmp_path):
    made = make_bundle(root, root / "flights")
    with ThreadPoolExecutor(16) as pool:
        folders = set(pool.map(lambda _: made.unpack(tmp_path / "code"), range(48)))
    (folder,) = folders
    assert contents(folder) == {name: (root / name).read_bytes() for name in FILES}
    assert list((tmp_path / "code").iterdir()) == [folder]


def test_a_crash_while_unpacking_leaves_nothing_that_is_read(root, tmp_path, monkeypatch):
    made = make_bundle(root, root / "flights")
    write = Path.write_bytes

    def fails(target, content):
        if target.name == "steps.py":
            raise OSError(28, "No space left on device")
        return write(target, content)

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(OSError, match="No space left"):
        made.unpack(tmp_path / "code")
    assert list((tmp_path / "code").iterdir()) == []
    monkeypatch.setattr(Path, "write_bytes", write)
    assert contents(made.unpack(tmp_path / "code")).keys() == set(FILES)


@pytest.mark.parametrize("edited", [True, False])
def test_a_file_that_is_edited_or_removed_before_it_is_unpacked(root, tmp_path, edited):
    """What is unpacked under a digest is what the digest was made of."""
    made = make_bundle(root, root / "flights")
    before = {name: (root / name).read_bytes() for name in FILES}
    if edited:
        (root / "flights/steps.py").write_text("edited since")
    else:
        (root / "flights/steps.py").unlink()
    assert contents(made.unpack(tmp_path / "code")) == before


def test_a_folder_that_ignores_itself_is_left_out(root):
    """A home that lies in the pipeline's folder, under whatever name, is no code."""
    before = make_bundle(root, root / "flights")
    Home(root=root / "flights/records").ensure()
    assert make_bundle(root, root / "flights") == before


NAMES = st.text("abcé .-", min_size=1, max_size=6).filter(
    lambda one: one.strip() == one and one.strip(".")
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(NAMES, st.binary(max_size=20), min_size=1, max_size=5),
       st.dictionaries(NAMES, st.binary(max_size=20), min_size=1, max_size=5))  # fmt: skip
def test_different_files_different_digests(tmp_path_factory, one, other):
    digests = []
    for files in (one, other):
        root = tmp_path_factory.mktemp("bundle")
        for name, content in files.items():
            (root / name).write_bytes(content)
        digests.append(make_bundle(root, root).digest)
    assert (digests[0] == digests[1]) == (one == other)


def test_a_lone_file_in_a_crowded_folder_takes_along_what_its_modules_import(tmp_path):
    files = {
        "lone_pipeline.py": "from kfp import dsl\n\nimport lone_steps\n\n\n"
        "@dsl.pipeline(name='lone')\ndef lone():\n    lone_steps.one()\n",
        "lone_steps.py": "import headrace as hr\nimport lone_words\n\n\n"
        "@hr.step\ndef one() -> int:\n    return 1\n\n\n"
        "def other():\n    return lone_words.WORD\n",
        "lone_words.py": "WORD = 'a'\n",
        "stranger.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    found = compile_pipeline(find_pipeline(str(tmp_path / "lone_pipeline.py")))
    assert found.code.files == ("lone_pipeline.py", "lone_steps.py", "lone_words.py")
