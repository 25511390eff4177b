    -- The pairs of a value, or of what is below it in its tree. Stands where a query says `include: narrowed`.
    AND a = {a:String} AND b = {b:String}
    AND (
        {where_value:Identifier} = {value:String}
        OR {below:Bool} AND {where_value:Identifier} IN (
            SELECT a_value FROM cells
            WHERE site = {site:String} AND day BETWEEN {start:Date} AND {end:Date} AND kind = {kind:String}
                AND a = {where:String} AND b = '' AND has(path, {value:String})
        )
    )
