            -- Days before the months that are summed up, and after them.
            (day BETWEEN {start:Date} AND {before:Date} OR day BETWEEN {after:Date} AND {last:Date})
