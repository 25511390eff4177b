                AND (a_value IN {values:Array(String)} OR b_value IN {values:Array(String)})
