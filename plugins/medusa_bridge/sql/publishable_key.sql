-- $1 token
select grace.is_publishable_key_v1($1)
