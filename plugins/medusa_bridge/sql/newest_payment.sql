select max(p.id) as id, now() as now from payment as p
