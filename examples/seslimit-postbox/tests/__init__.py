"""The tests of seslimit-postbox, on loopback."""
