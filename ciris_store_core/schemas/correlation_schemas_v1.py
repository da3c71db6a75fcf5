"""Correlations."""

from ciris_store_core.models.correlations import (
    Correlation,
    LogData,
    MetricData,
    ServiceCorrelation,
    ServiceRequest,
    ServiceResponse,
    TimeSeriesDataPoint,
    TraceContext,
)
from ciris_store_core.models.enums import CorrelationStatus, CorrelationType, RetentionPolicy

__all__ = [
    "Correlation",
    "CorrelationStatus",
    "CorrelationType",
    "LogData",
    "MetricData",
    "RetentionPolicy",
    "ServiceCorrelation",
    "ServiceRequest",
    "ServiceResponse",
    "TimeSeriesDataPoint",
    "TraceContext",
]
