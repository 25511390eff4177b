-- Facts and visitors of some kinds by day, as released; or those of one value.
SELECT kind, toString(day) AS time, sum(count) AS facts, sum(visitors) AS people, max(provisional) AS unsettled
FROM
-- include: told
WHERE (kind, a, b) IN {singles:Array(Tuple(String, String, String))} AND a_value = {value:String}
    AND (part = 'leaf' OR part = if({below:Bool}, 'node', 'rest'))
GROUP BY kind, day
ORDER BY kind, day
