"""One run: the main job, its parts, and its end.

- ``loop``: the main job; ``task``: what belongs to one program; ``scheduler``: whose turn it is; ``budget``: the stop
- ``context``: what all tasks share, put together of ``holding`` (the device), ``clock`` (where time goes), ``telling``
  (who hears what), ``storage`` (the files) and ``calls`` (language models)
- ``recall`` and ``promise``: what is known beforehand; ``worked``: what was worked out before a run broke off
- ``roofline``, ``bounds``, ``verify``, ``inside``: what is looked at in fast schedules
- ``compare``, ``decide``, ``finish``, ``export``, ``receipt``, ``remember``: the end
- ``replay``, ``resume``, ``same``, ``saved``: runs that were recorded; ``forecast``: what one would cost
"""
