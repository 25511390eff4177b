-- Facts of a kind over time, from the totals. Times are the site's own, cut to minutes, hours or days.
SELECT formatDateTime(minute, {format:String}, {timezone:String}) AS time, sum(count) AS facts
FROM totals
WHERE site = {site:String} AND kind = {kind:String}
    AND minute >= {start:DateTime('UTC')} AND minute < {end:DateTime('UTC')}
GROUP BY time
ORDER BY time
