"""The accompaniment transformer."""
