"""The rules, as pure functions on frozen structs. No driver, no clock, no network."""
