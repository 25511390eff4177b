-- Facts of some kinds over time, from the totals. Times are the site's own, cut to minutes, hours or days.
SELECT kind, formatDateTime(at, {format:String}, {timezone:String}) AS time, sum(facts) AS facts
FROM (
    SELECT kind, min(minute) AS at, sum(count) AS facts
    FROM totals
    WHERE site = {site:String} AND kind IN {kinds:Array(String)}
        AND minute >= {begin:DateTime('UTC')} AND minute < {until:DateTime('UTC')}
    GROUP BY kind,
    -- include: slot
)
GROUP BY kind, time
ORDER BY kind, time
