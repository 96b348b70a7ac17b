"""The demo: the whole product on one machine, with simulated vessels and a mail server of its own."""
