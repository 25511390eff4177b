-- How many blocks (what an insert brings to one partition) a table remembers, to know a batch again. A batch whose reply was
-- lost is sent again until its days are closed, and others write meanwhile: ten recorders at a batch every ten seconds
-- make fewer than 100,000 in the 26 hours that a day is open. On a cluster the time for which they are remembered is set
-- with it, in tables that keep their number too.
ALTER TABLE open_cells MODIFY SETTING non_replicated_deduplication_window = 100000;
ALTER TABLE totals MODIFY SETTING non_replicated_deduplication_window = 100000;
ALTER TABLE salts MODIFY SETTING non_replicated_deduplication_window = 10000;
ALTER TABLE closed_days MODIFY SETTING non_replicated_deduplication_window = 10000;
ALTER TABLE consent_records MODIFY SETTING non_replicated_deduplication_window = 10000;
ALTER TABLE archive MODIFY SETTING non_replicated_deduplication_window = 10000;
ALTER TABLE archived_days MODIFY SETTING non_replicated_deduplication_window = 10000;
ALTER TABLE archive_months MODIFY SETTING non_replicated_deduplication_window = 10000;
ALTER TABLE archived_months MODIFY SETTING non_replicated_deduplication_window = 10000;
