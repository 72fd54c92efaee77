"""Trains and exports the music models of Obbligato."""
