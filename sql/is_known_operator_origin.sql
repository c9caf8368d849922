-- $1 keyed hash of an account and an address
select exists (select from grace.operator_sessions as s where s.origin = $1)
