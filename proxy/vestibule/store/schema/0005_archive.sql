-- Closed days once more, in the order in which they are asked for: by the year, so that a year is a few parts instead of
-- 365 partitions. What a day of `cells` is copied here, it is noted in `archived_days`; a while later it goes from `cells`.
CREATE TABLE archive (
    site LowCardinality(String),
    day Date,
    kind LowCardinality(String),
    a LowCardinality(String),
    a_value String,
    b LowCardinality(String),
    b_value String,
    part Enum8('leaf' = 1, 'node' = 2, 'rest' = 3),
    path Array(String),
    count UInt64,
    visitors UInt64,
    provisional Bool
) ENGINE = MergeTree
PARTITION BY (site, toYear(day))
ORDER BY (kind, a, b, day, a_value, b_value)
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 1024;

-- Days that `archive` has. Readers take a day from `cells` unless it is named here.
CREATE TABLE archived_days (
    site LowCardinality(String),
    day Date,
    time DateTime('UTC')
) ENGINE = MergeTree
ORDER BY (site, day)
SETTINGS non_replicated_deduplication_window = 10000;
