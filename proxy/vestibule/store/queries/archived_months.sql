-- Months of which days are archived: how many, and whether the sum of just these is there. A sum goes when the first of its
-- days may not be kept any more; what is left are days.
SELECT
    month,
    days,
    (month, days) IN (SELECT month, days FROM archived_months WHERE site = {site:String})
        AND (month, days) IN (SELECT month, days FROM archive_months WHERE site = {site:String} AND a = '' AND b = '') AS summed
FROM (
    SELECT toStartOfMonth(day) AS month, toUInt8(uniqExact(day)) AS days
    FROM archived_days
    WHERE site = {site:String}
    GROUP BY month
)
ORDER BY month
