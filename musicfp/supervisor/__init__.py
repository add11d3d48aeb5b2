"""`musicfp up`: the processes of the product, started in order, watched and stopped as one group."""
