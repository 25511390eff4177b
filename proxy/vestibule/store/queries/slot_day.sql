        toDate(minute, {timezone:String})
