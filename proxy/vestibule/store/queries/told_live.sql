    -- The same of days that are not archived.
    (
        SELECT day, kind, a, a_value, b, b_value, part, path, count, visitors, provisional
        FROM cells
        WHERE site = {site:String} AND day BETWEEN {start:Date} AND {end:Date} AND day IN {live:Array(Date)}
    )
