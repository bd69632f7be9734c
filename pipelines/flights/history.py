"""What earlier flights tell about a flight, as far as it was known when the forecast is made.

The rule against leakage is one mechanism: an outcome is booked at the moment when it became
known (a departure when the plane left, a delay on arrival when the plane had landed), and a
flight reads the books at its `asked_at`, half an hour before its scheduled departure.
Nothing goes by a flight's calendar day or schedule: a flight of yesterday that lands this
morning is unknown until it lands, one that never lands is never booked.

The books are kept per slot (half an hour, or a day for the long window). What becomes known
within a slot is booked at the slot's end, and a flight reads up to the last slot that ended
by `asked_at`: rounding only ever forgets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from flights.columns import TARGET
from flights.journeys import NOTICE_MINUTES

SLOT_MINUTES = 30
"""How finely the last hours are kept."""

RECENT_SLOTS = 6
"""How many of those slots count as "now": three hours."""

DAY_MINUTES = 24 * 60
"""How finely the last weeks are kept."""

DELAY_CAP = 180
"""Minutes beyond which a delay counts no more: one lost day must not drown an hour's mean."""

SETTLED_MINUTES = 23 * 60
"""An outcome counts for `number_late_28d` only if it was known this long after its schedule."""

Stream = tuple[str, Mapping[str, Column]]
"""The column that holds when something becomes known, and what is then added to which sum."""


def booked(
    rows: DataFrame, readers: DataFrame, keys: Sequence[str], streams: Sequence[Stream], slot: int
) -> DataFrame:
    """Sums per `keys` and `slot`, and `readers`: how many flights of `readers` read there.

    What never becomes known (a null moment) is booked nowhere.
    """
    names = ["readers", *sorted({name for _, counts in streams for name in counts})]
    zeros = {name: F.lit(0) for name in names}

    def book(flights: DataFrame, at: Column, counts: Mapping[str, Column]) -> DataFrame:
        values = {**zeros, **counts}
        return flights.select(
            *keys, at.alias("slot"), *(values[name].alias(name) for name in names)
        )

    entries = [
        book(rows.where(F.col(at).isNotNull()), F.ceil(F.col(at) / slot), counts)
        for at, counts in streams
    ]
    readings = book(readers, asked_slot(slot), {"readers": F.lit(1)})
    pages = reduce(DataFrame.unionByName, [*entries, readings])
    return pages.groupBy(*keys, "slot").agg(*(F.sum(name).alias(name) for name in names))


def asked_slot(slot: int) -> Column:
    """The last slot that had ended when the forecast was made."""
    return F.floor(F.col("asked_at") / slot)


def slots(keys: Sequence[str], first: int, last: int) -> WindowSpec:
    """The window over a book's slots `first` to `last`, counted from the row's own."""
    return Window.partitionBy(*keys).orderBy("slot").rangeBetween(first, last)


def mean(total: str, count: str, window: WindowSpec) -> Column:
    """A mean over a window, null when nothing was counted."""
    number = F.sum(count).over(window)
    return F.when(number > 0, F.sum(total).over(window) / number)


def capped(delay: str) -> Column:
    """A delay in minutes; early is on time, and beyond the cap is the cap."""
    return F.least(F.greatest(F.col(delay), F.lit(0)), F.lit(DELAY_CAP))


def departures(rows: DataFrame, readers: DataFrame) -> DataFrame:
    """How departures go per carrier, origin and slot: the carrier's own and all of the origin's.

    `*_departure_delay` is the mean delay of those that left in the last three hours,
    `*_backlog` how many more should have left than did, and `origin_planned` how many the
    schedule has for the hour after the slot.
    """
    keys = ["carrier", "origin"]
    streams: list[Stream] = [
        ("departs_at", {"due": F.lit(1)}),
        ("departed_at", {"gone": F.lit(1), "delay": capped("dep_delay")}),
    ]
    books = booked(rows, readers, keys, streams, SLOT_MINUTES)
    recent = {
        "carrier": slots(keys, 1 - RECENT_SLOTS, 0),
        "origin": slots(["origin"], 1 - RECENT_SLOTS, 0),
    }
    ahead = slots(["origin"], 1, 60 // SLOT_MINUTES)
    return read(
        books,
        keys,
        {
            **{f"{who}_departure_delay": mean("delay", "gone", by) for who, by in recent.items()},
            **{
                f"{who}_backlog": F.sum(F.col("due") - F.col("gone")).over(by)
                for who, by in recent.items()
            },
            "origin_planned": F.coalesce(F.sum("due").over(ahead), F.lit(0)),
        },
    )


def arrivals(rows: DataFrame, readers: DataFrame) -> DataFrame:
    """The mean delay of the last three hours' landings at a destination, per slot."""
    streams: list[Stream] = [("landed_at", {"landed": F.lit(1), "delay": capped("arr_delay")})]
    books = booked(arrived(rows), readers, ["dest"], streams, SLOT_MINUTES)
    recent = slots(["dest"], 1 - RECENT_SLOTS, 0)
    return read(books, ["dest"], {"dest_arrival_delay": mean("delay", "landed", recent)})


def carrier_record(rows: DataFrame, readers: DataFrame) -> DataFrame:
    """The share of late arrivals among a carrier's landings of the last seven days, per day."""
    streams: list[Stream] = [("landed_at", {"landed": F.lit(1), "late": F.col(TARGET)})]
    books = booked(arrived(rows), readers, ["carrier"], streams, DAY_MINUTES)
    week = slots(["carrier"], -6, 0)
    return read(books, ["carrier"], {"carrier_late_7d": mean("late", "landed", week)})


def arrived(rows: DataFrame) -> DataFrame:
    """The flights that have an outcome."""
    return rows.where(F.col(TARGET).isNotNull())


def read(books: DataFrame, keys: Sequence[str], values: Mapping[str, Column]) -> DataFrame:
    """`values` per `keys` and `slot`, for the slots that somebody reads."""
    named = (value.alias(name) for name, value in values.items())
    return books.select(*keys, "slot", "readers", *named).where("readers > 0").drop("readers")


def look_up(asked: DataFrame, history: DataFrame, keys: Sequence[str], slot: int) -> DataFrame:
    """`asked` with the columns of `history` as they stood when each flight's forecast is made."""
    here = asked.withColumn("slot", asked_slot(slot))
    return here.join(F.broadcast(history), [*keys, "slot"], "left").drop("slot")


def number_record() -> Column:
    """The share of late arrivals among this flight number's last 28 days.

    Here flights are ordered by schedule, so the window ends early enough instead: what it
    holds departed, by schedule, SETTLED_MINUTES before `asked_at`, and counts only if it
    had landed within that time.
    """
    known = F.col("landed_at") - F.col("departs_at") <= SETTLED_MINUTES
    window = (
        Window.partitionBy("carrier", "flight", "origin")
        .orderBy("departs_at")
        .rangeBetween(-28 * DAY_MINUTES, -(SETTLED_MINUTES + NOTICE_MINUTES))
    )
    return F.avg(F.when(known, F.col(TARGET))).over(window)


def previous_leg() -> dict[str, Column]:
    """What is known of the plane's previous flight out of New York.

    The tables hold no flights towards New York, so the leg before is two flights ago. Its
    delays count only if the plane had left (or landed) when the forecast is made; `leg_slack`
    is the time from its *planned* arrival to this departure, minutes.
    """
    by_plane = Window.partitionBy("tailnum").orderBy("departs_at")

    def previous(column: str) -> Column:
        # Flights without a tail number share the window of null: they are not one plane.
        return F.when(F.col("tailnum").isNotNull(), F.lag(column).over(by_plane))

    def known(column: str, at: str) -> Column:
        return F.when(previous(at) <= F.col("asked_at"), previous(column))

    return {
        "leg_departure_delay": known("dep_delay", "departed_at"),
        "leg_arrival_delay": known("arr_delay", "landed_at"),
        "leg_slack": F.col("departs_at") - previous("arrives_at"),
    }
