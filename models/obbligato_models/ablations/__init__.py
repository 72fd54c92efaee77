"""What is each choice of the design worth? Small networks, each with one thing done otherwise, taught for the same time
with the same seed and data, and measured alike.

python -m obbligato_models.ablations --dataset data/songs.npz --out runs/ablations --minutes 5

variants     what is done otherwise?
layouts      other ways to write bars as tokens
trial        teaches one variant and measures it
measure      the loss of what people played, and how it sounds when it runs freely
table        the results side by side: ablations.md, ablations.json, ablations.png
"""
