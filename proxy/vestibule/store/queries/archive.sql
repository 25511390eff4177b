-- Copy a closed day. It is one block of one partition, so that it is there as a whole or not at all.
INSERT INTO archive (site, day, kind, a, a_value, b, b_value, part, path, count, visitors, provisional)
SELECT site, day, kind, a, a_value, b, b_value, part, path, count, visitors, provisional
FROM cells
WHERE site = {site:String} AND day = {day:Date}
ORDER BY ALL
