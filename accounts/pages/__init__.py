"""The pages about a person: signing in, the invitation, the profile."""
