"""Scores accompaniments by what is heard, with the model running freely on songs it has not seen.

Each file answers one question (models/evaluation.md says how to read the answers):

excerpts     which songs, and which bars of them?
answers      which accompaniments are compared?
playing      how does the model make its own?
harmony      does it sound right with the melody?
texture      is it played as people play?
form         do its bars hang together as those of a song?
copies       has it been heard before?
obedience    does it do as it is told: density, muted parts, the grammar?
style        does it play the style that was asked for?
listening    does it listen to the melody?
measures     the list of all that is measured on notes alone, with its value for many songs
intervals    how sure is that value?
bounds       what does it have to be, and is it?
verdicts     what is said of it, in a table?
classic      how far is it from the training songs, by AWS DeepComposer's three measures?
midi         songs and answers from and to .mid files
scores       a table of the modes (`model`), and of files of another program (`midi`)
trials       what is the model made to play for the gates?
gates        what is asked of it, and does it do it (`gates`)?
report       the gates on paper
"""

from .midi import melody_named, read_melody, write_midi

__all__ = ["melody_named", "read_melody", "write_midi"]
