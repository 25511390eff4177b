-- Days that are read from `cells`: those that are not archived yet.
SELECT DISTINCT day FROM cells
WHERE site = {site:String} AND day NOT IN (SELECT day FROM archived_days WHERE site = {site:String})
ORDER BY day
