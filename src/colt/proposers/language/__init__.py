"""Language models as proposers: prompts, replies, the client, money.

model.py                          a language model as a proposer
prompt.py                         the words it is sent
reply.py salvage.py settle.py     from its answer to a proposal
client.py body.py                 the chat client: attempts and what they cost; what a request holds
wire.py                           one request over HTTP: only it opens sockets; needs the extra ``models``
completion.py secret.py           what a reply means; the key kept out of all texts
retry.py breaker.py               when to ask again, and when to bench a model
money.py prices.py known.py       ceilings that hold while calls are in flight; prices; sizes
calls.py chat_desk.py             a call as it is recorded; several calls at a time
probe.py findings.py              ``colt pool check``, and what it found
"""
