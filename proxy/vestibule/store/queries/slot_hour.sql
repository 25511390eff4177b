        toStartOfHour(minute, {timezone:String})
