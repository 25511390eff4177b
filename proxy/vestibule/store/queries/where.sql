-- What is to be known of filters before they narrow anything down: all facts that their values stand for (with what is
-- below them, or what remains of them), whether anything is below them in their trees, and which values of the
-- dimensions asked for are remainders. name: empty where a row only tells of what is below.
SELECT
    kind,
    a,
    if(part = 'rest' OR a_value IN {values:Array(String)}, a_value, '') AS name,
    toString(part) AS part,
    arrayIntersect(path, {values:Array(String)}) AS under,
    sum(count) AS facts,
    sum(visitors) AS people,
    max(provisional) AS unsettled
FROM
-- include: told
WHERE b = '' AND (kind, a) IN {dimensions:Array(Tuple(String, String))}
    AND (part = 'rest' OR a_value IN {values:Array(String)} OR hasAny(path, {values:Array(String)}))
GROUP BY kind, a, name, part, under
