-- Some dimensions' values over some days. level: of the dimension's tree, counted from the root; -1: leaves and
-- remainders. What is above a level and has nothing released below stands for itself, so that the rows of a dimension
-- add up to all facts of the kind.
SELECT
    kind,
    a,
    level,
    a_value AS value,
    max(part = 'rest') AS others,
    sum(count) AS facts,
    sum(visitors) AS people,
    max(provisional) AS unsettled
FROM
-- include: levels
WHERE if(
    level < 0,
    part != 'node',
    part != 'rest' AND length(path) = level OR part != 'node' AND length(path) < level OR a_value = {rare:String}
)
GROUP BY kind, a, level, value
ORDER BY value = {rare:String} DESC, facts DESC, value
LIMIT {limit:UInt32} BY kind, a, level
