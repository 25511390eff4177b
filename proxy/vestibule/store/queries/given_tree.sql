        dimension = {dimension:String}
        AND (
            given = {value:String}
            OR (kind, given) IN (
                SELECT toString(kind), a_value
                FROM
                -- include: told
                WHERE (kind, a) IN {dimensions:Array(Tuple(String, String))} AND a = {dimension:String} AND b = ''
                    AND has(path, {value:String})
            )
        )
