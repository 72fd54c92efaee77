"""What is done otherwise? Each variant changes one thing of the shipped recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..transformer.model import Shape
from ..transformer.train import Recipe
from .layouts import Beats, ByTime, NextBar

SHIPPED = Recipe(collected=48)
"""With fewer songs to play along with each time, which take the same share of a short training as all of a long one."""


@dataclass(frozen=True)
class Variant:
    title: str
    """In the table."""
    recipe: Recipe = SHIPPED
    told: int = Shape.told
    """Width of what every block is told of the conditions."""
    other_tokens: tuple[str, ...] = ()
    """Columns that count nats over other tokens than those of the shipped layout."""


VARIANTS = {
    "base": Variant("as shipped"),
    "adamw": Variant("AdamW for the matrices too", replace(SHIPPED, muon=False)),
    "no-controls": Variant("no control vector", replace(SHIPPED, controls=False)),
    "at-tokens": Variant("conditions at the tokens only", told=0),
    "beats": Variant(
        "jam by beats", replace(SHIPPED, layout=Beats()), other_tokens=("jam chord loss", "jam part loss")
    ),
    "next-bar": Variant("next bar's melody in front", replace(SHIPPED, layout=NextBar())),
    "by-time": Variant(
        "parts merged by time", replace(SHIPPED, layout=ByTime()), other_tokens=("known part loss", "jam part loss")
    ),
    "plain-chords": Variant("chords weigh 1 in the loss", replace(SHIPPED, chord_weight=1.0)),
    "no-self-made": Variant("no self-made history", replace(SHIPPED, collected=0)),
    "clean-history": Variant("no spoilt or hidden history", replace(SHIPPED, spoilt_history=False)),
}
"""By the name that the command line and the folders have."""
