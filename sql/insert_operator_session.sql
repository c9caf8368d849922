-- $1 hash of the session's id, $2 admin, $3 Medusa's credential, encrypted
insert into grace.operator_sessions (id_hash, admin_id, credential) values ($1, $2, $3)
