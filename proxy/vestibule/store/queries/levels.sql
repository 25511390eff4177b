    -- Singles, each with every level at which its dimension is asked for.
    (
        SELECT kind, a, a_value, part, path, count, visitors, provisional
        FROM
        -- include: told
        WHERE b = '' AND (kind, a) IN {dimensions:Array(Tuple(String, String))}
    ) AS found
    INNER JOIN (
        SELECT each.1 AS asked_kind, each.2 AS asked_a, each.3 AS level
        FROM (SELECT arrayJoin({asked:Array(Tuple(String, String, Int8))}) AS each)
    ) AS asked ON kind = asked_kind AND a = asked_a
