"""A small catalogue of synthetic songs, their damaged copies, and the run that shows what musicfp makes of them."""
