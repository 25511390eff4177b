CREATE DATABASE IF NOT EXISTS `vestibule` ON CLUSTER `main`;

CREATE TABLE IF NOT EXISTS schema_migrations_local ON CLUSTER `main` (number UInt32, name String, time DateTime('UTC') DEFAULT now())
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/vestibule/schema_migrations_local', '{replica}') ORDER BY number;

CREATE TABLE IF NOT EXISTS `schema_migrations` ON CLUSTER `main` AS `schema_migrations_local` ENGINE = Distributed(`main`, `vestibule`, `schema_migrations_local`, cityHash64(number));

CREATE TABLE IF NOT EXISTS totals_local ON CLUSTER `main` (
    site LowCardinality(String),
    minute DateTime('UTC'),
    kind LowCardinality(String),
    count SimpleAggregateFunction(sum, UInt64)
) ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/vestibule/totals_local', '{replica}')
PARTITION BY (site, toYYYYMM(minute, 'UTC'))
ORDER BY (kind, minute)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `totals` ON CLUSTER `main` AS `totals_local` ENGINE = Distributed(`main`, `vestibule`, `totals_local`, cityHash64(kind));

CREATE TABLE IF NOT EXISTS open_cells_local ON CLUSTER `main` (
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
) ENGINE = ReplicatedAggregatingMergeTree('/clickhouse/tables/{shard}/vestibule/open_cells_local', '{replica}')
PARTITION BY (site, day)
ORDER BY (kind, a, b, a_value, b_value)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `open_cells` ON CLUSTER `main` AS `open_cells_local` ENGINE = Distributed(`main`, `vestibule`, `open_cells_local`, cityHash64(site, day));

CREATE TABLE IF NOT EXISTS incoming_local ON CLUSTER `main` (
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

CREATE TABLE IF NOT EXISTS `incoming` ON CLUSTER `main` AS `incoming_local` ENGINE = Distributed(`main`, `vestibule`, `incoming_local`, cityHash64(site, day));

CREATE MATERIALIZED VIEW IF NOT EXISTS incoming_to_open_cells ON CLUSTER `main` TO open_cells_local AS
SELECT site, day, kind, a, b, a_value, b_value, path, count, arrayReduce('uniqCombined64State', hashes) AS visitors
FROM incoming_local;

CREATE TABLE IF NOT EXISTS cells_local ON CLUSTER `main` (
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
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/vestibule/cells_local', '{replica}')
PARTITION BY (site, day)
ORDER BY (kind, a, b, a_value, b_value);

CREATE TABLE IF NOT EXISTS `cells` ON CLUSTER `main` AS `cells_local` ENGINE = Distributed(`main`, `vestibule`, `cells_local`, cityHash64(site, day));

CREATE TABLE IF NOT EXISTS salts_local ON CLUSTER `main` (
    site LowCardinality(String),
    day Date,
    salt String
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/vestibule/salts_local', '{replica}')
PARTITION BY (site, day)
ORDER BY salt
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `salts` ON CLUSTER `main` AS `salts_local` ENGINE = Distributed(`main`, `vestibule`, `salts_local`, cityHash64(site, day));

CREATE TABLE IF NOT EXISTS closed_days_local ON CLUSTER `main` (
    site LowCardinality(String),
    day Date,
    state Enum8('claimed' = 1, 'done' = 2),
    owner String,
    time DateTime('UTC')
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/vestibule/closed_days_local', '{replica}')
ORDER BY (site, day, state)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `closed_days` ON CLUSTER `main` AS `closed_days_local` ENGINE = Distributed(`main`, `vestibule`, `closed_days_local`, cityHash64(site, day));

CREATE TABLE IF NOT EXISTS consent_records_local ON CLUSTER `main` (
    site LowCardinality(String),
    id String,
    time DateTime('UTC'),
    record String
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/vestibule/consent_records_local', '{replica}')
PARTITION BY toYYYYMM(time, 'UTC')
ORDER BY (site, id, time)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `consent_records` ON CLUSTER `main` AS `consent_records_local` ENGINE = Distributed(`main`, `vestibule`, `consent_records_local`, cityHash64(site));

CREATE TABLE IF NOT EXISTS users_local ON CLUSTER `main` (
    name String,
    password_hash String,
    role LowCardinality(String),
    removed Bool,
    changed DateTime64(6, 'UTC')
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/vestibule/users_local', '{replica}', changed)
ORDER BY name;

CREATE TABLE IF NOT EXISTS `users` ON CLUSTER `main` AS `users_local` ENGINE = Distributed(`main`, `vestibule`, `users_local`, cityHash64(name));

CREATE TABLE IF NOT EXISTS revocations_local ON CLUSTER `main` (
    site LowCardinality(String),
    mark String,
    time DateTime64(3, 'UTC'),
    added DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/vestibule/revocations_local', '{replica}', time)
ORDER BY (site, mark)
TTL toDateTime(time) + INTERVAL 401 DAY;

CREATE TABLE IF NOT EXISTS `revocations` ON CLUSTER `main` AS `revocations_local` ENGINE = Distributed(`main`, `vestibule`, `revocations_local`, cityHash64(site));

CREATE TABLE IF NOT EXISTS annotations_local ON CLUSTER `main` (
    site LowCardinality(String),
    id String,
    body String,
    removed Bool,
    changed DateTime64(6, 'UTC')
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/vestibule/annotations_local', '{replica}', changed)
ORDER BY (site, id);

CREATE TABLE IF NOT EXISTS `annotations` ON CLUSTER `main` AS `annotations_local` ENGINE = Distributed(`main`, `vestibule`, `annotations_local`, cityHash64(site));

CREATE TABLE IF NOT EXISTS tokens_local ON CLUSTER `main` (
    site LowCardinality(String),
    id String,
    body String,
    removed Bool,
    changed DateTime64(6, 'UTC')
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/vestibule/tokens_local', '{replica}', changed)
ORDER BY (site, id);

CREATE TABLE IF NOT EXISTS `tokens` ON CLUSTER `main` AS `tokens_local` ENGINE = Distributed(`main`, `vestibule`, `tokens_local`, cityHash64(site));

CREATE TABLE IF NOT EXISTS shares_local ON CLUSTER `main` (
    site LowCardinality(String),
    id String,
    body String,
    removed Bool,
    changed DateTime64(6, 'UTC')
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/vestibule/shares_local', '{replica}', changed)
ORDER BY (site, id);

CREATE TABLE IF NOT EXISTS `shares` ON CLUSTER `main` AS `shares_local` ENGINE = Distributed(`main`, `vestibule`, `shares_local`, cityHash64(site));

CREATE TABLE IF NOT EXISTS audit_local ON CLUSTER `main` (
    site LowCardinality(String),
    id String,
    body String,
    removed Bool,
    changed DateTime64(6, 'UTC')
) ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/vestibule/audit_local', '{replica}', changed)
ORDER BY (site, id)
TTL toDateTime(changed) + INTERVAL 2 YEAR;

CREATE TABLE IF NOT EXISTS `audit` ON CLUSTER `main` AS `audit_local` ENGINE = Distributed(`main`, `vestibule`, `audit_local`, cityHash64(site));

CREATE TABLE IF NOT EXISTS archive_local ON CLUSTER `main` (
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
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/vestibule/archive_local', '{replica}')
PARTITION BY (site, toYear(day))
ORDER BY (kind, a, b, day, a_value, b_value)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800, index_granularity = 1024;

CREATE TABLE IF NOT EXISTS `archive` ON CLUSTER `main` AS `archive_local` ENGINE = Distributed(`main`, `vestibule`, `archive_local`, cityHash64(site, day));

CREATE TABLE IF NOT EXISTS archived_days_local ON CLUSTER `main` (
    site LowCardinality(String),
    day Date,
    time DateTime('UTC')
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/vestibule/archived_days_local', '{replica}')
ORDER BY (site, day)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `archived_days` ON CLUSTER `main` AS `archived_days_local` ENGINE = Distributed(`main`, `vestibule`, `archived_days_local`, cityHash64(site, day));

CREATE TABLE IF NOT EXISTS archive_months_local ON CLUSTER `main` (
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
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/vestibule/archive_months_local', '{replica}')
PARTITION BY (site, month, days)
ORDER BY (kind, a, b, a_value, b_value)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800, index_granularity = 1024;

CREATE TABLE IF NOT EXISTS `archive_months` ON CLUSTER `main` AS `archive_months_local` ENGINE = Distributed(`main`, `vestibule`, `archive_months_local`, cityHash64(site, month));

CREATE TABLE IF NOT EXISTS archived_months_local ON CLUSTER `main` (
    site LowCardinality(String),
    month Date,
    days UInt8,
    time DateTime('UTC')
) ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/vestibule/archived_months_local', '{replica}')
ORDER BY (site, month)
SETTINGS replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

CREATE TABLE IF NOT EXISTS `archived_months` ON CLUSTER `main` AS `archived_months_local` ENGINE = Distributed(`main`, `vestibule`, `archived_months_local`, cityHash64(site, month));

ALTER TABLE open_cells_local ON CLUSTER `main` MODIFY SETTING replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800;

ALTER TABLE totals_local ON CLUSTER `main` MODIFY SETTING replicated_deduplication_window = 100000, replicated_deduplication_window_seconds = 604800;

ALTER TABLE salts_local ON CLUSTER `main` MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

ALTER TABLE closed_days_local ON CLUSTER `main` MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

ALTER TABLE consent_records_local ON CLUSTER `main` MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

ALTER TABLE archive_local ON CLUSTER `main` MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

ALTER TABLE archived_days_local ON CLUSTER `main` MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

ALTER TABLE archive_months_local ON CLUSTER `main` MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

ALTER TABLE archived_months_local ON CLUSTER `main` MODIFY SETTING replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800;

ALTER TABLE `cells_local` ON CLUSTER `main` MODIFY TTL day + toIntervalSecond(3456000);

DROP TABLE IF EXISTS `staging_o` ON CLUSTER `main` SYNC;

DROP TABLE IF EXISTS `staging_o_local` ON CLUSTER `main` SYNC;

CREATE TABLE `staging_o_local` ON CLUSTER `main` AS `cells_local` ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/vestibule/staging_o_local', '{replica}') PARTITION BY (site, day) ORDER BY (kind, a, b, a_value, b_value);

CREATE TABLE IF NOT EXISTS `staging_o` ON CLUSTER `main` AS `staging_o_local` ENGINE = Distributed(`main`, `vestibule`, `staging_o_local`, cityHash64(site, day));

DROP TABLE IF EXISTS `staging_o_known` ON CLUSTER `main` SYNC;

DROP TABLE IF EXISTS `staging_o_known_local` ON CLUSTER `main` SYNC;

CREATE TABLE `staging_o_known_local` ON CLUSTER `main` AS `cells_local` ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/vestibule/staging_o_known_local', '{replica}') PARTITION BY (site, day) ORDER BY (kind, a, b, a_value, b_value);

CREATE TABLE IF NOT EXISTS `staging_o_known` ON CLUSTER `main` AS `staging_o_known_local` ENGINE = Distributed(`main`, `vestibule`, `staging_o_known_local`, cityHash64(site, day));

ALTER TABLE `cells_local` ON CLUSTER `main` REPLACE PARTITION ('relaso.com', '2026-11-22') FROM `staging_o_local`;

ALTER TABLE `open_cells_local` ON CLUSTER `main` DROP PARTITION ('relaso.com', '2026-11-22');

ALTER TABLE `salts_local` ON CLUSTER `main` DROP PARTITION ('relaso.com', '2026-11-22');

ALTER TABLE `cells_local` ON CLUSTER `main` DROP PARTITION ('relaso.com', '2026-11-22');

ALTER TABLE `archive_months_local` ON CLUSTER `main` DROP PARTITION ('relaso.com', '2026-10-01', 31);

DROP TABLE IF EXISTS `staging_o` ON CLUSTER `main` SYNC;

DROP TABLE IF EXISTS `staging_o_local` ON CLUSTER `main` SYNC;

DROP TABLE IF EXISTS `staging_o_known` ON CLUSTER `main` SYNC;

DROP TABLE IF EXISTS `staging_o_known_local` ON CLUSTER `main` SYNC;

OPTIMIZE TABLE `cells_local` ON CLUSTER `main` FINAL;
