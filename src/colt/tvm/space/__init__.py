"""The design space of one program: knobs from traces, edits, and schedules carried out in TVM.

``space`` is what the search sees. ``extract`` makes knobs of a trace's decisions, ``edits`` wishes of a transformation,
``realise`` and ``replay`` a schedule of wishes. Of what is built, ``changes`` says what becomes of it after scheduling:
``tails`` ends loops in vectors, ``pairs`` adds short sums up in pairs, ``ahead`` asks for what the next job reads, and
``next_parts`` for the next part of a large operand.
``skeletons`` holds what the analytical model sees of sketches, which ``skeleton``, ``bodies`` and ``dots`` read.
"""
