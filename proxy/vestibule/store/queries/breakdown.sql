-- One dimension's leaves and remainders over some days. They add up to all facts of the kind.
SELECT
    a_value AS value,
    max(part = 'rest') AS others,
    sum(count) AS facts,
    sum(visitors) AS people,
    max(provisional) AS unsettled
FROM cells
WHERE site = {site:String} AND day BETWEEN {start:Date} AND {end:Date} AND kind = {kind:String}
    AND a = {by:String} AND b = '' AND part != 'node'
GROUP BY value
ORDER BY value = {rare:String} DESC, facts DESC, value
LIMIT {limit:UInt32}
