"""What a run learns from outside, through one door: see :mod:`colt.world.world`.

world.py answers.py   what is asked, and the types of the answers
recording.py          the answers on disk
parts.py              what a live run is made of
measurer.py calls.py  a measurer and calls of language models whose answers come through the door
"""
