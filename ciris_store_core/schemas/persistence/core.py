"""Parameters and results of the functions."""

from ciris_store_core.persistence.requests import (
    ChannelInfo,
    CorrelationUpdateRequest,
    DeferralPackage,
    DeferralReportContext,
    MetricsQuery,
)

__all__ = ["ChannelInfo", "CorrelationUpdateRequest", "DeferralPackage", "DeferralReportContext", "MetricsQuery"]
