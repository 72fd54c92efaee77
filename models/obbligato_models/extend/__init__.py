"""The extender: it carries a melody on."""
