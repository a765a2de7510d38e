"""Who proposes: built-in experts and language models; one contract (:class:`colt.search.types.Proposer`).

Imports :mod:`colt.search` and below; experts get space and scorer handed to them and import neither TVM nor a network.

    experts/ builtin.py openings.py       built-in experts, and what the root's children are chosen from
    language.py                           a language model as a proposer: prompt.py has its words;
                                          reply.py, salvage.py and settle.py read its answer
    desk.py chat_desk.py calls.py         where several are asked at a time, and a call as it is recorded
    spec.py known.py prices.py lines.py   the pool file
    chat.py                               the client of a language model, the only module here that opens sockets;
                                          importing it needs the extra ``models``
    completion.py retry.py breaker.py     what a reply means, when to ask again, whom to leave alone
    money.py                              ceilings that hold while calls are in flight
    check.py                              ``colt pool check``
"""
