"""Breaking the running product on purpose, and counting from the outside what is lost: nothing may be.

`python -m tests.chaos` starts a real `musicfp up`, sends it music, kills its processes with SIGKILL at chosen places
and at random times, and compares rows, objects and Dagster's storage with what was sent (docs/decisions/0011).
"""
