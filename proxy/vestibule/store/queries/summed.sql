        -- Months that lie wholly within the days, summed up: `day` is their first.
        UNION ALL
        SELECT month AS day, kind, a, a_value, b, b_value, part, path, count, visitors, false AS provisional
        FROM archive_months
        WHERE site = {site:String} AND (month, days) IN {months:Array(Tuple(Date, UInt8))}
