-- The pairs of an open day that one dimension is first in, as far as their values are known to have enough visitors. (Of
-- second values some come that are known in another dimension only: telling these apart here costs more than it spares.)
SELECT toLowCardinality(toString(b)) AS second, toLowCardinality(a_value), toLowCardinality(b_value),
    sum(count), uniqCombined64Merge(visitors)
FROM open_cells
WHERE site = {site:String} AND day = {day:Date} AND kind = {kind:String} AND a = {a:String} AND b != ''
    AND a_value GLOBAL IN (SELECT a_value FROM known_values WHERE kind = {kind:String} AND a = {a:String})
    AND b_value GLOBAL IN (SELECT a_value FROM known_values WHERE kind = {kind:String} AND a > {a:String})
GROUP BY b, a_value, b_value
ORDER BY b
SETTINGS optimize_move_to_prewhere = 0
