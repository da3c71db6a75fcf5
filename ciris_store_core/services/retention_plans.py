"""Plans of retention: rules for the ages at which records are rolled up, downsampled and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from types import MappingProxyType

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.correlations import Correlation
from ciris_store_core.models.enums import CorrelationType
from ciris_store_core.services.rollups import DAY, HOUR

METRIC, LOG = CorrelationType.METRIC_DATAPOINT, CorrelationType.LOG_ENTRY

SUMMARIES: Mapping[str, tuple[CorrelationType, ...]] = {
    METRIC: (CorrelationType.METRIC_HOURLY_SUMMARY, CorrelationType.METRIC_DAILY_SUMMARY),
    LOG: (CorrelationType.LOG_HOURLY_SUMMARY,),
}
"""Types of the summaries of a type; a rule for the type applies to them, too."""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """Ages, by ``Store.server_now()``, at which the records of a type are rolled up, downsampled or deleted.

    Only measurements and log entries are ever rolled up, as far as the ``retention_policy`` of each allows: raw
    stays raw, aggregated may become hourly, downsampled daily. Deleting is up to the rule alone.
    """

    type: CorrelationType | str = METRIC
    name: str = "*"
    """A pattern with ``*`` and ``?`` for the metric's name, the logger's name, or, of other types, the action type."""
    hourly_after: timedelta | None = None
    """Measurements and log entries older than this become one row for each series and hour; None: never."""
    daily_after: timedelta | None = None
    """Measurements older than this become one row for each series and day; None: never."""
    delete_after: timedelta | None = None
    """Records older than this are deleted, raw or rolled up; None: never."""

    def __post_init__(self) -> None:
        """Raise ``InvalidArgument`` for audit events, steps the type lacks, and ages below an hour or not growing."""
        object.__setattr__(self, "type", CorrelationType.parse(self.type))
        if self.type == CorrelationType.AUDIT_EVENT:
            raise InvalidArgument("audit events are not dropped by retention. Leave the rule out.")
        ages = [age for age in (self.hourly_after, self.daily_after, self.delete_after) if age is not None]
        if any(age < HOUR for age in ages):
            raise InvalidArgument("the ages of a RetentionRule are timedeltas of at least an hour")
        if ages != sorted(ages):
            raise InvalidArgument("the ages of a RetentionRule must grow: hourly_after, daily_after, delete_after")
        if self.type != METRIC and (self.daily_after or (self.hourly_after and self.type != LOG)):
            raise InvalidArgument(
                "only metric_datapoint and log_entry become hourly, and only metric_datapoint daily. "
                "Leave the other ages out."
            )

    def fits(self, name: str) -> bool:
        """Return True if the rule is for records of that name."""
        return fnmatchcase(name, self.name)


@dataclass(frozen=True, slots=True)
class RetentionPlan:
    """Rules, of which the first that matches a record applies, and the size of a batch."""

    rules: tuple[RetentionRule, ...]
    batch_size: int = 1000
    """Greatest number of records that one transaction rolls up or deletes; 1 to 10,000."""

    def __post_init__(self) -> None:
        """Raise ``InvalidArgument`` for batches so large that they would keep writers waiting."""
        if type(self.batch_size) is not int or not 1 <= self.batch_size <= 10_000:
            raise InvalidArgument("batch_size must be a whole number from 1 to 10000")

    def rule_for(self, type: str, name: str) -> RetentionRule | None:
        """Return the rule that applies to records of that type and name; None: they stay unchanged."""
        return next((rule for rule in self.rules if rule.type == type and rule.fits(name)), None)


def name_of(row: Correlation) -> str:
    """Return the name of a row that the pattern of a rule must match."""
    if row.metric_data is not None:
        return row.metric_data.metric_name
    return row.action_type if row.log_data is None else row.log_data.logger_name


PRESETS: Mapping[str, RetentionPlan] = MappingProxyType(
    {
        "archive": RetentionPlan(
            (RetentionRule(METRIC, hourly_after=90 * DAY), RetentionRule(LOG, hourly_after=90 * DAY))
        ),
        "standard": RetentionPlan(
            (
                RetentionRule(METRIC, hourly_after=7 * DAY, daily_after=90 * DAY),
                RetentionRule(LOG, hourly_after=30 * DAY),
            )
        ),
        "lean": RetentionPlan(
            (
                RetentionRule(METRIC, hourly_after=DAY, daily_after=14 * DAY, delete_after=400 * DAY),
                RetentionRule(LOG, hourly_after=3 * DAY, delete_after=90 * DAY),
                RetentionRule(CorrelationType.TRACE_SPAN, delete_after=7 * DAY),
                RetentionRule(CorrelationType.SERVICE_INTERACTION, delete_after=30 * DAY),
            )
        ),
    }
)
"""Plans by name. ``archive`` and ``standard`` delete nothing; docs/howto/time-series.md lists the costs of each."""
