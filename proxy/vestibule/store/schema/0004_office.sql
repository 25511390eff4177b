-- What the staff keep: notes on days, API tokens (their digests), shared links, and who changed what. The newest row of
-- an id counts; `body` is an object as JSON.

CREATE TABLE annotations (
    site LowCardinality(String),
    id String,
    body String,
    removed Bool,
    changed DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree(changed)
ORDER BY (site, id);

CREATE TABLE tokens (
    site LowCardinality(String),
    id String,
    body String,
    removed Bool,
    changed DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree(changed)
ORDER BY (site, id);

CREATE TABLE shares (
    site LowCardinality(String),
    id String,
    body String,
    removed Bool,
    changed DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree(changed)
ORDER BY (site, id);

CREATE TABLE audit (
    site LowCardinality(String),
    id String,
    body String,
    removed Bool,
    changed DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree(changed)
ORDER BY (site, id)
TTL toDateTime(changed) + INTERVAL 2 YEAR;
