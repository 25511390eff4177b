            AND day NOT IN {live:Array(Date)}
