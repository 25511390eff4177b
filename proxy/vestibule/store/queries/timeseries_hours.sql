-- One value's facts by hour: the pairs of that value and the hours of the day.
SELECT
    day,
    {by_value:Identifier} AS hour,
    sum(count) AS facts,
    sum(visitors) AS people,
    max(provisional) AS unsettled
FROM cells
WHERE site = {site:String} AND day BETWEEN {start:Date} AND {end:Date} AND kind = {kind:String}
    -- include: narrowed
GROUP BY day, hour
HAVING hour != {rare:String}
ORDER BY day, hour
