-- $1 last order looked at, $2 window
select max(w.id) as reached, count(*) as looked_at
from (select o.id from "order" as o where o.id > $1 order by o.id limit $2) as w
