"""An app for deployments under test: it makes the matching step misbehave while a file exists."""
