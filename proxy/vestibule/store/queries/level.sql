    -- Singles, each with the one level that is asked for. Stands where `breakdown` says `include: levels`.
    (
        SELECT kind, a, a_value, part, path, count, visitors, provisional, {level:Int8} AS level
        FROM
        -- include: told
        WHERE b = '' AND (kind, a) IN {dimensions:Array(Tuple(String, String))}
    )
