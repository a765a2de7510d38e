"""Where kernels run: what to compile for there, what the hardware is known to do, and who measures.

- ``base``: the contract of a device; ``cpu``: this machine; ``board``: a board behind TVM's RPC tracker; ``fleet``: the
  hosts of a Ray cluster; ``elsewhere``: what these two have in common
- ``resolve``: from what a user names to a device
- ``hold``: leave to measure there, beside others or alone
- ``host``: brings TVM up here, and completes targets for this machine; ``assumed``: targets for machines elsewhere
- ``host_cpu``: what LLVM takes this machine's processor for, corrected by the processor's flags
- ``peaks``: what this machine can do at most, what instructions and caches take there, and how steady it is
- ``peak_kernels``, ``rate_kernels`` and ``quiet_looks`` measure that in processes of their own; ``register_kernels``:
  the frame of their kernels
"""
