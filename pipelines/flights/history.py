"""What earlier flights tell about a flight, as far as it was known when the forecast is made.

The rule against leakage is one mechanism: an outcome is booked at the moment when it became
known (a departure when the plane left, a delay on arrival when the plane had landed), and a
flight reads the books at its `asked_at`, half an hour before its scheduled departure.
Nothing goes by a flight's calendar day or schedule: a flight of yesterday that lands this
morning is unknown until it lands, one that never lands is never booked.

The books are kept per slot (ten minutes, or a day for the long windows). What becomes known
within a slot is booked at the slot's end, and a flight reads up to the last slot that ended
by `asked_at`: rounding only ever forgets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from flights.columns import TARGET

SLOT_MINUTES = 10
"""How finely the last hours are kept."""

RECENT_SLOTS = 18
"""How many of those slots count as "now": three hours."""

DAY_MINUTES = 24 * 60
"""How finely the last weeks are kept."""

DELAY_CAP = 180
"""Minutes beyond which a delay counts no more: one lost day must not drown an hour's mean."""

Stream = tuple[str, Mapping[str, Column]]
"""The column that holds when something becomes known, and what is then added to which sum."""


def booked(
    rows: DataFrame, readers: DataFrame, keys: Sequence[str], streams: Sequence[Stream], slot: int
) -> DataFrame:
    """Sums per `keys` and `slot`, with a row of zeros wherever a flight of `readers` reads.

    What never becomes known (a null moment) is booked nowhere.
    """
    names = sorted({name for _, counts in streams for name in counts})
    zeros: dict[str, Column] = {name: F.lit(0) for name in names}

    def book(flights: DataFrame, at: Column, counts: Mapping[str, Column]) -> DataFrame:
        values = {**zeros, **counts}
        return flights.select(*keys, at.alias("slot"), *(values[name].alias(name) for name in names))

    entries = [
        book(rows.where(F.col(at).isNotNull()), F.ceil(F.col(at) / slot), counts)
        for at, counts in streams
    ]
    pages = reduce(DataFrame.unionByName, [*entries, book(readers, asked_slot(slot), {})])
    return pages.groupBy(*keys, "slot").agg(*(F.sum(name).alias(name) for name in names))


def asked_slot(slot: int) -> Column:
    """The last slot that had ended when the forecast was made."""
    return F.floor(F.col("asked_at") / slot)


def look_back(books: DataFrame, keys: Sequence[str], slots: int, values: Mapping[str, Column]) -> DataFrame:
    """`values`, each made of the books' sums over the `slots` slots that end with a row's own."""
    window = Window.partitionBy(*keys).orderBy("slot").rangeBetween(1 - slots, Window.currentRow)
    sums = [name for name in books.columns if name not in (*keys, "slot")]
    totals = books.select(*keys, "slot", *(F.sum(name).over(window).alias(name) for name in sums))
    return totals.select(*keys, "slot", *(value.alias(name) for name, value in values.items()))


def mean(total: str, count: str) -> Column:
    """A mean, null when nothing was counted."""
    return F.when(F.col(count) > 0, F.col(total) / F.col(count))


def capped(delay: str) -> Column:
    """A delay in minutes; early is on time, and beyond the cap is the cap."""
    return F.least(F.greatest(F.col(delay), F.lit(0)), F.lit(DELAY_CAP))


def congestion(rows: DataFrame, readers: DataFrame, keys: Sequence[str], name: str) -> DataFrame:
    """How the last three hours' departures went, per `keys` and slot.

    `NAME_departure_delay` is the mean delay of those that left, `NAME_backlog` how many more
    should have left than did.
    """
    streams: list[Stream] = [
        ("departs_at", {"due": F.lit(1)}),
        ("departed_at", {"gone": F.lit(1), "delay": capped("dep_delay")}),
    ]
    books = booked(rows, readers, keys, streams, SLOT_MINUTES)
    return look_back(
        books,
        keys,
        RECENT_SLOTS,
        {f"{name}_departure_delay": mean("delay", "gone"), f"{name}_backlog": F.col("due") - F.col("gone")},
    )


def arrival_delay(rows: DataFrame, readers: DataFrame, keys: Sequence[str], name: str) -> DataFrame:
    """The mean delay `NAME_arrival_delay` of the last three hours' landings, per `keys` and slot."""
    streams: list[Stream] = [("landed_at", {"landed": F.lit(1), "delay": capped("arr_delay")})]
    arrived = rows.where(F.col(TARGET).isNotNull())
    books = booked(arrived, readers, keys, streams, SLOT_MINUTES)
    return look_back(books, keys, RECENT_SLOTS, {f"{name}_arrival_delay": mean("delay", "landed")})


def late_share(
    rows: DataFrame, readers: DataFrame, keys: Sequence[str], days: int, name: str
) -> DataFrame:
    """The share `name` of late arrivals in the last `days` days' landings, per `keys` and slot."""
    streams: list[Stream] = [("landed_at", {"landed": F.lit(1), "late": F.col(TARGET)})]
    arrived = rows.where(F.col(TARGET).isNotNull())
    books = booked(arrived, readers, keys, streams, DAY_MINUTES)
    return look_back(books, keys, days, {name: mean("late", "landed")})


def look_up(asked: DataFrame, history: DataFrame, keys: Sequence[str], slot: int) -> DataFrame:
    """`asked` with the columns of `history` as they stood when each flight's forecast is made."""
    renamed = history.withColumnRenamed("slot", "history_slot")
    here = asked.withColumn("history_slot", asked_slot(slot))
    return here.join(F.broadcast(renamed), [*keys, "history_slot"], "left").drop("history_slot")


def add_previous_leg(rows: DataFrame) -> DataFrame:
    """`rows` with what is known of the plane's previous flight out of New York.

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

    return rows.withColumns(
        {
            "leg_departure_delay": known("dep_delay", "departed_at"),
            "leg_arrival_delay": known("arr_delay", "landed_at"),
            "leg_slack": F.col("departs_at") - previous("arrives_at"),
        }
    )
