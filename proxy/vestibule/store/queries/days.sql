            day BETWEEN {start:Date} AND {last:Date}
