-- What is counted. Every table is partitioned so that forgetting a day is dropping a partition.

-- Facts by minute and kind: no attribute, no visitor.
CREATE TABLE totals (
    site LowCardinality(String),
    minute DateTime('UTC'),
    kind LowCardinality(String),
    count SimpleAggregateFunction(sum, UInt64)
) ENGINE = AggregatingMergeTree
PARTITION BY (site, toYYYYMM(minute, 'UTC'))
ORDER BY (kind, minute)
SETTINGS non_replicated_deduplication_window = 10000;

-- Cells of days that are not closed yet. `path`: the ancestors of a single's value, nearest first.
CREATE TABLE open_cells (
    site LowCardinality(String),
    day Date,
    kind LowCardinality(String),
    a LowCardinality(String),
    b LowCardinality(String),
    a_value String,
    b_value String,
    path SimpleAggregateFunction(any, Array(String)),
    count SimpleAggregateFunction(sum, UInt64),
    visitors AggregateFunction(uniqCombined64, UInt64)
) ENGINE = AggregatingMergeTree
PARTITION BY (site, day)
ORDER BY (kind, a, b, a_value, b_value)
SETTINGS non_replicated_deduplication_window = 10000;

-- Where recorders put their cells: hashes come in, only states of them are kept.
CREATE TABLE incoming (
    site String,
    day Date,
    kind String,
    a String,
    b String,
    a_value String,
    b_value String,
    path Array(String),
    count UInt64,
    hashes Array(UInt64)
) ENGINE = Null;

CREATE MATERIALIZED VIEW incoming_to_open_cells TO open_cells AS
SELECT site, day, kind, a, b, a_value, b_value, path, count, arrayReduce('uniqCombined64State', hashes) AS visitors
FROM incoming;

-- What may be told. A single has b = ''; the kind as a whole a = '' too. A pair has a < b. See core/release.py for `part`.
CREATE TABLE cells (
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
PARTITION BY (site, day)
ORDER BY (kind, a, b, a_value, b_value);

-- The days' random salts, in hexadecimal digits. Without the deployment's secret they open nothing.
CREATE TABLE salts (
    site LowCardinality(String),
    day Date,
    salt String
) ENGINE = MergeTree
PARTITION BY (site, day)
ORDER BY salt
SETTINGS non_replicated_deduplication_window = 10000;

-- Days that take no more facts. claimed: `owner` is releasing it; done: released for good.
CREATE TABLE closed_days (
    site LowCardinality(String),
    day Date,
    state Enum8('claimed' = 1, 'done' = 2),
    owner String,
    time DateTime('UTC')
) ENGINE = MergeTree
ORDER BY (site, day, state)
SETTINGS non_replicated_deduplication_window = 10000;
