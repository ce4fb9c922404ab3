"""The main job: a catalogue goes in, goods are offered on two channels, buyers buy, and the books must come out even."""
