"""The design space of one program: knobs from traces, edits, and schedules carried out in TVM.

``space`` is what the search sees. ``extract`` makes knobs of a trace's decisions, ``edits`` wishes of a transformation,
``realise`` and ``replay`` a schedule of wishes. Of what is built, ``tails`` ends loops in vectors, ``pairs`` adds short
sums up in pairs, and ``ahead`` asks for what the next job reads. ``skeleton``, ``bodies`` and ``dots`` read schedules
for the analytical model.
"""
