-- The pairs of an open day that one dimension is first in.
SELECT toLowCardinality(toString(b)) AS second, toLowCardinality(a_value), toLowCardinality(b_value),
    sum(count), uniqCombined64Merge(visitors)
FROM open_cells
WHERE site = {site:String} AND day = {day:Date} AND kind = {kind:String} AND a = {a:String} AND b != ''
GROUP BY b, a_value, b_value
ORDER BY b
