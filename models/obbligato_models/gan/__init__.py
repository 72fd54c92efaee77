"""The GAN: four bars of accompaniment at once, as a picture."""
