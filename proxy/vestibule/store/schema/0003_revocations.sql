-- What was signed out of. `mark` is a keyed hash of an address or of one sign-in; nobody can be found by it.
CREATE TABLE revocations (
    site LowCardinality(String),
    mark String,
    time DateTime64(3, 'UTC'),
    added DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = ReplacingMergeTree(time)
ORDER BY (site, mark)
TTL toDateTime(time) + INTERVAL 401 DAY;
