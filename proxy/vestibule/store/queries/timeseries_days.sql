-- Facts and visitors of some kinds by day, as released; or those of some values, and of what remains of them.
SELECT
    kind,
    a_value AS value,
    toString(part) AS told_as,
    toString(day) AS time,
    sum(count) AS facts,
    sum(visitors) AS people,
    max(provisional) AS unsettled
FROM
-- include: told
WHERE (kind, a, b) IN {singles:Array(Tuple(String, String, String))} AND a_value IN {values:Array(String)}
GROUP BY kind, value, told_as, day
