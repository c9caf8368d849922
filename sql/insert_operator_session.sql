-- $1 hash of the session's id, $2 admin, $3 Medusa's credential, encrypted, $4 keyed hash of account and address
insert into grace.operator_sessions (id_hash, admin_id, credential, origin) values ($1, $2, $3, $4)
