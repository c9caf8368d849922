"""Our own tables (schema "grace"), one module a table. Functions take a connection; the caller owns the transaction."""
