    -- The same where all of the days that have numbers are archived.
    (
        SELECT * FROM archive
        WHERE site = {site:String} AND day BETWEEN {start:Date} AND {end:Date}
    )
