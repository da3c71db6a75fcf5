"""Correlations."""

from ciris_store_core.models.correlations import (
    Correlation,
    LogData,
    MetricData,
    ServiceCorrelation,
    ServiceRequest,
    ServiceResponse,
    TraceContext,
)
from ciris_store_core.models.enums import CorrelationStatus, CorrelationType, RetentionPolicy

ServiceCorrelationStatus = CorrelationStatus
ServiceRequestData = ServiceRequest
ServiceResponseData = ServiceResponse

__all__ = [
    "Correlation",
    "CorrelationStatus",
    "CorrelationType",
    "LogData",
    "MetricData",
    "RetentionPolicy",
    "ServiceCorrelation",
    "ServiceCorrelationStatus",
    "ServiceRequest",
    "ServiceRequestData",
    "ServiceResponse",
    "ServiceResponseData",
    "TraceContext",
]
