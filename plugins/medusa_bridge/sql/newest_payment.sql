-- What follows in this transaction keeps the plan that serves every position (force_generic_plan): new_authorizations
-- is written so that this is the right one in any shop, and planning it anew each second costs as much as running it.
select max(p.id) as id, now() as now, set_config('plan_cache_mode', 'force_generic_plan', true)
from payment as p
