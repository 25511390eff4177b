-- All facts that a value (with what is below it, or what remains of it) stands for.
SELECT sum(count) AS facts, sum(visitors) AS people, max(provisional) AS unsettled
FROM cells
WHERE site = {site:String} AND day BETWEEN {start:Date} AND {end:Date} AND kind = {kind:String}
    AND a = {where:String} AND b = '' AND a_value = {value:String}
    AND (part = 'leaf' OR part = if({below:Bool}, 'node', 'rest'))
