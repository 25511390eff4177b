        (dimension, given) IN {filters:Array(Tuple(String, String))}
