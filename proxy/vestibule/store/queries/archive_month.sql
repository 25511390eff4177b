-- Sum up the archived days of a month, in one block of one partition.
INSERT INTO archive_months (site, month, days, kind, a, a_value, b, b_value, part, path, count, visitors)
SELECT site, {month:Date}, {days:UInt8}, kind, a, a_value, b, b_value, part, path, sum(count), sum(visitors)
FROM archive
WHERE site = {site:String} AND day BETWEEN {month:Date} AND toLastDayOfMonth({month:Date})
    AND day IN (SELECT day FROM archived_days WHERE site = {site:String})
GROUP BY ALL
ORDER BY ALL
