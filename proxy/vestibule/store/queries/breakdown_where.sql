-- One dimension's buckets among the facts that another dimension narrows down.
SELECT
    {by_value:Identifier} AS value,
    value IN (
        SELECT a_value FROM cells
        WHERE site = {site:String} AND day BETWEEN {start:Date} AND {end:Date} AND kind = {kind:String}
            AND a = {by:String} AND b = '' AND part = 'rest'
    ) AS others,
    sum(count) AS facts,
    sum(visitors) AS people,
    max(provisional) AS unsettled
FROM cells
WHERE site = {site:String} AND day BETWEEN {start:Date} AND {end:Date} AND kind = {kind:String}
    -- include: narrowed
GROUP BY value
ORDER BY value = {rare:String} DESC, facts DESC, value
LIMIT {limit:UInt32}
