-- One value's facts by hour: the pairs of that value and the hours of the day.
SELECT
    day,
    {by_value:Identifier} AS hour,
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
GROUP BY day, hour
HAVING hour != {rare:String}
ORDER BY day, hour
