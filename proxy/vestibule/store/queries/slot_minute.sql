        minute
