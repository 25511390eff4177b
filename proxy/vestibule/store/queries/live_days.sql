-- Days that are read from `cells`: those that are not archived yet. And how many are.
SELECT
    arraySort(groupUniqArray(day)) AS days,
    (SELECT uniqExact(day) FROM archived_days WHERE site = {site:String}) AS archived
FROM cells
WHERE site = {site:String} AND day NOT IN (SELECT day FROM archived_days WHERE site = {site:String})
