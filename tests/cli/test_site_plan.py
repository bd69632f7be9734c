"""What cleaning a site would remove, and what it leaves alone."""

import pytest

from headrace.cli.cleaning.site_plan import (
    KnownRun,
    SiteKept,
    SiteKind,
    SiteRemoval,
    SiteWish,
    folders_without,
    make_site_plan,
)
from headrace.cli.render.cleaning import site_plan_picture
from headrace.data.store import Entry
from headrace.operating.stocktaking import CacheEntry, Folder, SiteStock, Thing

ROOT = "s3://b/site"
OLD, NEW = "flights-20261101-081500-0001", "flights-20261124-081500-0002"
DAY = 86400.0
NOW = 1_795_507_200.0


def entry(size=10, age=0.0):
    return Entry(size=size, etag="e", modified=NOW - age * DAY)


def folder(path, size=10, age=0.0):
    return Folder(uri=f"{ROOT}/{path}", size=size, modified=NOW - age * DAY)


def cached(key, run, *uris):
    uris = tuple(f"{ROOT}/artifacts/{one}" for one in uris)
    return CacheEntry(uri=f"{ROOT}/cache/{key}.json", key=key, run=run, artifacts=uris, size=1)


def stock(**more):
    """An old run and a new one, both over, whose results are all named by the cache."""
    found = {
        "artifacts": f"{ROOT}/artifacts",
        "results": {
            OLD: {f"{OLD}/load/table/1.parquet": entry(age=23)},
            NEW: {f"{NEW}/train/model": entry(), f"{NEW}/train/half/1": entry(7)},
        },
        "records": {OLD: folder(f"runs/{OLD}", 5, 23), NEW: folder(f"runs/{NEW}", 5)},
        "cache": (cached("k1", OLD, f"{OLD}/load/table"), cached("k2", NEW, f"{NEW}/train/model")),
        "checkpoints": {"k2": folder("checkpoints/k2"), "k9": folder("checkpoints/k9")},
        "code": {"aa": folder("code/aa.zip", 3, 23), "bb": folder("code/bb.zip", 3)},
        "spark": (folder("events/spark/x", 4, 23),),
    }
    return SiteStock(**{**found, **more})


def removals(plan):
    return [(one.kind, one.place.removeprefix(f"{ROOT}/")) for one in plan.removals]


def test_unasked_only_what_nobody_can_need_goes():
    plan = make_site_plan(stock(), {}, SiteWish(), {})
    assert plan.removals == (
        SiteRemoval(kind=SiteKind.HALF_WRITTEN, place=f"{ROOT}/artifacts/{NEW}/train/half", size=7),
        SiteRemoval(kind=SiteKind.CHECKPOINT, place=f"{ROOT}/checkpoints/k2", size=10),
    )
    assert (plan.kept, plan.notes) == ((), ())


def test_what_a_step_promised_is_not_half_written():
    promised = frozenset({f"{ROOT}/artifacts/{NEW}/train/half"})
    plan = make_site_plan(stock(promised=promised, checkpoints={}), {}, SiteWish(), {})
    assert plan.removals == ()


def test_with_an_age_all_that_old_runs_left_goes():
    plan = make_site_plan(stock(), {}, SiteWish(before=NOW - 10 * DAY), {})
    assert removals(plan) == [
        (SiteKind.CACHE, "cache/k1.json"),
        (SiteKind.RESULT, f"artifacts/{OLD}"),
        (SiteKind.HALF_WRITTEN, f"artifacts/{NEW}/train/half"),
        (SiteKind.CHECKPOINT, "checkpoints/k2"),
        (SiteKind.RECORD, f"runs/{OLD}"),
        (SiteKind.SPARK, "events/spark/x"),
        (SiteKind.CODE, "code/aa.zip"),
    ]
    assert plan.notes == (
        "1 result can no longer be reused.",
        "A pipeline that was compiled for Kubeflow Pipelines with such code needs to be "
        "compiled again.",
    )


def test_what_a_run_that_stays_uses_stays():
    uses = frozenset({f"{ROOT}/artifacts/{OLD}/load/table"})
    known = {NEW: KnownRun(at_work=False, uses=uses)}
    plan = make_site_plan(stock(), known, SiteWish(before=NOW - 10 * DAY), {})
    assert (SiteKind.RESULT, f"artifacts/{OLD}") not in removals(plan)
    assert (SiteKind.CACHE, "cache/k1.json") not in removals(plan)
    assert plan.kept == (SiteKept(what=f"{OLD}/load/table", why=f"run {NEW} uses it"),)


def test_what_an_alias_names_keeps_its_data():
    aliases = {OLD: "flight-delays/3, which is champion"}
    plan = make_site_plan(stock(), {}, SiteWish(before=NOW - 10 * DAY), aliases)
    assert (SiteKind.RESULT, f"artifacts/{OLD}") not in removals(plan)
    assert plan.kept == (
        SiteKept(what=f"artifacts/{OLD}", why="it made flight-delays/3, which is champion"),
    )


THINGS = (
    Thing(kind="jobs", name="done", run=OLD),
    Thing(kind="rayjobs", name="busy", run=NEW),
)


def test_objects_of_runs_that_are_over_go_and_those_of_others_stay():
    there = stock(things=THINGS, active=frozenset({NEW}), results={}, checkpoints={}, cache=())
    plan = make_site_plan(there, {}, SiteWish(), {})
    assert removals(plan) == [(SiteKind.OBJECT, "jobs/done")]
    assert plan.kept == (SiteKept(what=NEW, why="it is at work; headrace cancel ends it"),)
    lost = {NEW: KnownRun(at_work=False)}
    assert make_site_plan(there, lost, SiteWish(), {}).kept == (
        SiteKept(what=NEW, why="it goes on without a client; headrace cancel ends it"),
    )
    client = {OLD: KnownRun(at_work=True)}  # between two steps it has no pod
    assert removals(make_site_plan(there, client, SiteWish(), {})) == []


@pytest.mark.parametrize(("force", "objects"), [(False, []), (True, ["rayjobs/busy"])])
def test_one_run_alone(force, objects):
    there = stock(things=THINGS, active=frozenset({NEW}))
    plan = make_site_plan(there, {}, SiteWish(run=NEW, force=force), {})
    found = removals(plan)
    assert [place for kind, place in found if kind is SiteKind.OBJECT] == objects
    rest = [place for kind, place in found if kind is not SiteKind.OBJECT]
    assert rest == (["cache/k2.json", f"artifacts/{NEW}", f"runs/{NEW}"] if force else [])


def test_a_cache_entry_whose_artifact_is_gone_goes():
    there = stock(cache=(cached("k3", OLD, f"{OLD}/gone"),), checkpoints={}, results={})
    assert removals(make_site_plan(there, {}, SiteWish(), {})) == [
        (SiteKind.CACHE, "cache/k3.json")
    ]


def test_all_earlier_results_can_be_forgotten():
    plan = make_site_plan(stock(checkpoints={}), {}, SiteWish(cache=True), {})
    kinds = [place for kind, place in removals(plan) if kind is SiteKind.CACHE]
    assert kinds == ["cache/k1.json", "cache/k2.json"]
    assert plan.notes == ("Every step will run again: no earlier result is found any more.",)


def test_code_that_a_pod_runs_stays_however_old():
    there = stock(codes=frozenset({"aa", ""}))
    plan = make_site_plan(there, {}, SiteWish(before=NOW - 10 * DAY), {})
    assert SiteKind.CODE not in {one.kind for one in plan.removals}


def test_the_largest_folders_without_what_is_needed():
    files = {f"s3://b/r/{path}": 1 for path in ("a/x/1", "a/x/2", "a/y/1", "c/1")}
    assert list(folders_without(files, set(), "s3://b/r")) == [("s3://b/r", 4)]
    assert list(folders_without(files, {"s3://b/r/a/y"}, "s3://b/r")) == [
        ("s3://b/r/a/x", 2),
        ("s3://b/r/c", 1),
    ]
    assert list(folders_without(files, {"s3://b/r"}, "s3://b/r")) == []


def test_the_picture_of_a_plan(drawn):
    plan = make_site_plan(
        stock(things=THINGS, active=frozenset({NEW})), {}, SiteWish(before=NOW - 10 * DAY), {}
    )
    assert drawn(site_plan_picture(plan, root=ROOT)).splitlines() == [
        "remove                   size  which",
        "1 object on the cluster        jobs/done",
        "1 cache entry             1 B",
        f"1 result                 10 B  artifacts/{OLD}",
        "1 checkpoint             10 B  checkpoints/k2",
        f"1 run record              5 B  runs/{OLD}",
        "1 Spark event log         4 B",
        "1 code bundle             3 B",
        "",
        f"keep {NEW}: it is at work; headrace cancel ends it",
        "",
        "1 result can no longer be reused.",
        "A pipeline that was compiled for Kubeflow Pipelines with such code needs to be",
        "compiled again.",
    ]


def test_options_of_a_site_and_of_this_machine_are_not_mixed(headrace):
    for words in (["--on", "x", "--all"], ["--on", "x", "--force"], ["--run", "r"]):
        assert headrace("clean", *words).code == 2
