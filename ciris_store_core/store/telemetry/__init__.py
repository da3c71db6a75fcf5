"""Correlations and time series: metrics, logs, spans and service interactions."""
