"""The main job: a catalogue goes in, goods are offered on two channels, buyers buy, the books must come out even."""
