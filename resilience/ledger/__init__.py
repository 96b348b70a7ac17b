"""The ledger of work begun: what a process left unfinished tells of its death, whoever killed it.

`place` says which process it was, `memory` and `causes` name why it died, `book` keeps the rows, `keeper` looks
after them from a thread of a long-running command. Knows no vessel, no alert and no django-q2.
"""
