-- One dimension at one level of its tree, counted from the root: what is above that level and has nothing released below
-- it stands for itself, so that the rows add up to all facts of the kind.
SELECT
    a_value AS value,
    max(part = 'rest') AS others,
    sum(count) AS facts,
    sum(visitors) AS people,
    max(provisional) AS unsettled
FROM cells
WHERE site = {site:String} AND day BETWEEN {start:Date} AND {end:Date} AND kind = {kind:String}
    AND a = {by:String} AND b = ''
    AND (part != 'rest' AND length(path) = {level:UInt8}
        OR part != 'node' AND length(path) < {level:UInt8}
        OR a_value = {rare:String})
GROUP BY value
ORDER BY value = {rare:String} DESC, facts DESC, value
LIMIT {limit:UInt32}
