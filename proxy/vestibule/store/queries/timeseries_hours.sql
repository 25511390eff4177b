-- One value's facts by hour: the pairs of that value and the hours of the day.
SELECT
    kind,
    day,
    value AS hour,
    sum(count) AS facts,
    sum(visitors) AS people,
    max(provisional) AS unsettled
FROM
-- include: narrowed
GROUP BY kind, day, hour
HAVING hour != {rare:String}
