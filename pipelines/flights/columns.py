"""The columns of the flights table: what the model may see, what it predicts, what names a flight.

Nothing here imports an engine: every step may read it.
"""

from __future__ import annotations

TARGET = "late"
"""1 when the flight arrived 15 minutes late or more, else 0."""

LATE_MINUTES = 15
"""From how many minutes of arrival delay on a flight counts as late."""

IDENTITY = ("year", "month", "day", "flight", "tailnum", "departs_at")
"""What tells one flight from another, for people and joins; never shown to a model."""

CATEGORICAL = ("carrier", "origin", "dest", "hour", "weekday")
"""Columns with a vocabulary; `hour` and `weekday` (Monday is 0) are whole numbers."""

NUMERIC = (
    # The schedule and the plane.
    "minute",
    "distance",
    "planned_minutes",
    "origin_planned",
    "plane_age",
    "seats",
    # Weather at the origin.
    "temp",
    "dewp",
    "humid",
    "wind_speed",
    "wind_gust",
    "wind_north",
    "wind_east",
    "precip_6h",
    "visib",
    # How it went over the last days.
    "carrier_late_7d",
    "number_late_28d",
    # How it is going now.
    "origin_departure_delay",
    "origin_backlog",
    "carrier_departure_delay",
    "carrier_backlog",
    "dest_arrival_delay",
    # The plane's last leg out of New York.
    "leg_departure_delay",
    "leg_arrival_delay",
    "leg_slack",
)
"""Columns of real numbers; any of them may be missing."""

FEATURES = CATEGORICAL + NUMERIC
"""All that a model may see."""
