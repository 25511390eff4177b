    -- All that may be told of some days. Stands where a query says `include: told`.
    (
        SELECT * FROM archive
        WHERE site = {site:String} AND day BETWEEN {start:Date} AND {end:Date} AND day NOT IN {live:Array(Date)}
        UNION ALL
        SELECT * FROM cells
        WHERE site = {site:String} AND day BETWEEN {start:Date} AND {end:Date} AND day IN {live:Array(Date)}
    )
