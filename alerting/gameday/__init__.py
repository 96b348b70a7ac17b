"""The game day: outages replayed against the running code, in a throw-away database and with servers on loopback.

`manage.py gameday` runs them; `docs/gameday.md` says what each breaks and promises.
"""
