"""The style palette: its names, how a bar of training music is weighed in it, and what its controls measured."""

from __future__ import annotations

NAMES = (
    "Chorale",
    "Hymn",
    "Romantic song",
    "Arpeggio ballad",
    "Broken-chord ballad",
    "Block-chord ballad",
    "Driving pop",
)
"""Ordered so that neighbours sound alike."""
NO_CONTROLS: dict = {
    "bass": {
        "density": [0.25, 0.33, 0.4, 0.5, 0.5, 0.5, 0.66, 0.75, 1.0, 1.25, 2.0],
        "register": [32, 36, 38, 40, 41, 42, 43, 44, 45, 47, 50],
        "length": [3, 6, 9, 12, 15, 18, 20, 22, 24, 30, 48],
    },
    "chords": {
        "density": [0.25, 0.5, 0.75, 1.0, 1.2, 1.5, 1.75, 2.0, 2.3, 2.75, 4.0],
        "register": [50, 54, 56, 57, 58, 59, 60, 61, 63, 65, 72],
        "length": [3, 6, 7, 8, 9, 10, 12, 15, 18, 24, 48],
    },
    "counter": {
        "density": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.9, 1.1, 1.5, 2.5],
        "register": [55, 60, 62, 64, 66, 68, 70, 72, 74, 77, 84],
        "length": [3, 4, 6, 7, 8, 9, 10, 12, 14, 18, 36],
    },
    "styles": {},
}
"""Placeholder of a model that was not trained."""


def controls(dataset) -> dict:
    raise NotImplementedError
