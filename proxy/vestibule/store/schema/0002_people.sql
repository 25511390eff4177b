-- Proof of consent, and the staff.

-- One row for each consent record; `record` is the record as JSON. A refusal has no id.
CREATE TABLE consent_records (
    site LowCardinality(String),
    id String,
    time DateTime('UTC'),
    record String
) ENGINE = MergeTree
PARTITION BY toYYYYMM(time, 'UTC')
ORDER BY (site, id, time)
SETTINGS non_replicated_deduplication_window = 10000;

-- The newest row of a name counts. `password_hash` is argon2's encoded form.
CREATE TABLE users (
    name String,
    password_hash String,
    role LowCardinality(String),
    removed Bool,
    changed DateTime64(6, 'UTC')
) ENGINE = ReplacingMergeTree(changed)
ORDER BY name;
