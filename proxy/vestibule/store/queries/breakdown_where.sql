-- Some dimensions' buckets among the facts that other dimensions narrow down. filter: the value that is given, or that it
-- is below of.
SELECT
    kind,
    dimension,
    if({tree:Bool}, {value:String}, given) AS filter,
    by,
    value,
    false AS others,
    sum(count) AS facts,
    sum(visitors) AS people,
    max(provisional) AS unsettled
FROM
-- include: narrowed
GROUP BY kind, dimension, filter, by, value
ORDER BY value = {rare:String} DESC, facts DESC, value
LIMIT {limit:UInt32} BY kind, dimension, filter, by
