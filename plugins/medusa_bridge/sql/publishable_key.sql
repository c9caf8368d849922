-- $1 token
select {is_publishable_key}($1)
