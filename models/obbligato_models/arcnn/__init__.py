"""The AR-CNN: a melody enhanced, by notes that are added and notes that are removed."""
