    -- The pairs of some filters' values, or of what is below one in its tree. A pair stands here twice, with either side
    -- as what is given. Stands where a query says `include: narrowed`.
    (
        SELECT
            kind,
            day,
            side.1 AS dimension,
            side.2 AS given,
            side.3 AS by,
            side.4 AS value,
            count,
            visitors,
            provisional
        FROM (
            SELECT toString(kind) AS kind, day, a, a_value, b, b_value, count, visitors, provisional
            FROM
            -- include: told
            WHERE (kind, a, b) IN {pairs:Array(Tuple(String, String, String))}
            -- include: near
        )
        ARRAY JOIN [
            (toString(a), a_value, toString(b), b_value), (toString(b), b_value, toString(a), a_value)
        ] AS side
        WHERE
        -- include: given
    )
