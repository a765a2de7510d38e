"""The workloads that come with COLT: one file each, listed in ``registry.py``.

To add one, write ``my_workload.py`` beside the others, which defines ``WORKLOAD``, and add its name to the registry.
Importing this package does not import TVM; :func:`get` does.
"""

from colt.tvm.programs.arguments import Argument, Role
from colt.tvm.programs.workloads.base import Workload
from colt.tvm.programs.workloads.registry import GROUPS, Group, get, names

__all__ = ["GROUPS", "Argument", "Group", "Role", "Workload", "get", "names"]
