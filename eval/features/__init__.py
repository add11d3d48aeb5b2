"""How right the features are: rendered music with known answers, real recordings, test signals, and others' answers."""
