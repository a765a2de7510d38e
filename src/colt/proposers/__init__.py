"""The members of a pool: built-in experts and language models, one contract (:class:`colt.search.types.Proposer`).

This package imports :mod:`colt.search` and below. Experts are given space and scorer; they import neither TVM nor a
network.

    experts/                   the built-in experts
    language/                  language models: prompt, reply, client, money
    openings.py                the schedules that the root's children are chosen from
    dispatcher.py desk.py      who is asked when; the desk at which several are asked at a time
    cooldown.py worth.py       who is benched after useless answers; whether calls are worth their price
    poolfile.py lines.py       the pool file
"""
