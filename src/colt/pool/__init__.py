"""Who proposes: built-in experts today, language models later; one contract (:class:`colt.search.types.Proposer`).

Imports :mod:`colt.search` and below; experts get space and scorer handed to them and import neither TVM nor a network.
"""
