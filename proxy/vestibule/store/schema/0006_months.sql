-- Months of `archive` summed up, so that a year is twelve months instead of 365 days. days: how many days of the month are
-- in it; where a day comes late the month is summed up once more, beside the sum that readers know.
CREATE TABLE archive_months (
    site LowCardinality(String),
    month Date,
    days UInt8,
    kind LowCardinality(String),
    a LowCardinality(String),
    a_value String,
    b LowCardinality(String),
    b_value String,
    part Enum8('leaf' = 1, 'node' = 2, 'rest' = 3),
    path Array(String),
    count UInt64,
    visitors UInt64
) ENGINE = MergeTree
PARTITION BY (site, month, days)
ORDER BY (kind, a, b, a_value, b_value)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024;

-- Sums that are there as a whole.
CREATE TABLE archived_months (
    site LowCardinality(String),
    month Date,
    days UInt8,
    time DateTime('UTC')
) ENGINE = MergeTree
ORDER BY (site, month)
SETTINGS non_replicated_deduplication_window = 10000;
