"""The design space of one program: knobs from traces, edits, and schedules carried out in TVM.

``space`` is what the search sees. ``extract`` makes knobs of a trace's decisions, ``edits`` wishes of a transformation,
``realise`` and ``replay`` a schedule of wishes, whose loops ``tails`` ends in vectors; ``skeleton``, ``bodies`` and
``dots`` read it for the analytical model.
"""
