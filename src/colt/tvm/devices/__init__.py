"""Where kernels run: what to compile for there, what the hardware is known to do, and who measures.

- ``base``: the contract of a device; ``cpu``: this machine; ``board``: a board behind TVM's RPC tracker
- ``resolve``: from what a user names to a device
- ``host``: brings TVM up here, and completes targets for this machine; ``assumed``: targets for machines elsewhere
- ``peaks``: what this machine can do at most, measured by ``peak_kernels`` in a process of its own
"""
