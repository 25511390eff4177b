    -- All that may be told of some days. Stands where a query says `include: told`.
    (
        SELECT day, kind, a, a_value, b, b_value, part, path, count, visitors, provisional
        FROM archive
        WHERE site = {site:String} AND
        -- include: days
        -- include: but_live
        -- include: summed
        -- include: live
    )
