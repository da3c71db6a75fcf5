-- oldest-program: 6
-- What consolidation looks for: rows that may be reduced one step further. Others, which are most, cost nothing here.

CREATE INDEX correlations_reducible_metrics ON {correlations} (metric_name, timestamp, correlation_id)
WHERE correlation_type = 'metric_datapoint' AND resolution = 'raw'
    AND (retention_policy = 'aggregated' OR retention_policy = 'downsampled');

CREATE INDEX correlations_reducible_hours ON {correlations} (metric_name, timestamp, correlation_id)
WHERE correlation_type = 'metric_hourly_summary' AND resolution = 'hourly' AND retention_policy = 'downsampled';

CREATE INDEX correlations_reducible_logs ON {correlations} (correlation_type, timestamp, correlation_id)
WHERE correlation_type = 'log_entry' AND resolution = 'raw'
    AND (retention_policy = 'aggregated' OR retention_policy = 'downsampled');
