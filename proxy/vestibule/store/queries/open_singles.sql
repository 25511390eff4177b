-- All singles of an open day, by kind and dimension.
SELECT kind, a, a_value, any(path), sum(count), uniqCombined64Merge(visitors)
FROM open_cells
WHERE site = {site:String} AND day = {day:Date} AND b = ''
GROUP BY kind, a, a_value
ORDER BY kind, a, a_value
