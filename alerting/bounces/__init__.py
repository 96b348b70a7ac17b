"""Mails that were accepted, and came back later: whose they were, what came back, and what follows from it."""
