"""Circuit breakers that all processes share through PostgreSQL: one row for each name.

`group` has the operations (trip, which are open, take a due probe, give it back, close), `breaker` wraps calls with
them, `rows` holds the statements. Knows no transport and no alert.
"""
