"""Files made to harm, sent through the real inspection: `python -m eval.hostile` prints what became of each.

What belongs here: making such files, watching what they cost and whether any of them was followed elsewhere. What does
not: the limits themselves (`musicfp.audio`, `musicfp.pipeline.inspection`). No such file is kept: all are made anew.
"""
