"""Measuring on the hosts of a Ray cluster.

COLT brings a measurer, and nothing else: Ray finds hosts, starts processes there, moves bytes and notices the dead.

cluster.py    Ray: what is connected to, the nodes, an actor on one of them; only leaving.py imports it, too
leaving.py    nodes that the cluster takes away
host.py       the actor: the one process of a host that measures there, under the host's lock
wire.py       what a host says, checked in the driver as a worker's words are
likeness.py   which hosts may measure together
share.py      the candidates of one call, dealt to the hosts; those of a lost host are dealt again
member.py     one host as the driver sees it: what it is asked, and what it answers
life.py       one host from joining to being lost, in a thread of its own
roster.py     what is known of all of them, under one lock
session.py    all of them as the driver has them: the watch for nodes, and the waiting for hosts
measurer.py   the measurer

The driver keeps the tree, the models and the money. It sends pickles to the hosts, which trust it, and is sent bytes
that it reads as strict JSON. Imports no TVM: what a host does there is its :class:`~colt.fleet.host.Side`.
"""
