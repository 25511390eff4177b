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
    AND a = {a:String} AND b = {b:String}
    AND (
        {where_value:Identifier} = {value:String}
        OR {below:Bool} AND {where_value:Identifier} IN (
            SELECT a_value FROM cells
            WHERE site = {site:String} AND day BETWEEN {start:Date} AND {end:Date} AND kind = {kind:String}
                AND a = {where:String} AND b = '' AND has(path, {value:String})
        )
    )
GROUP BY value
ORDER BY value = {rare:String} DESC, facts DESC, value
LIMIT {limit:UInt32}
