"""What a run leaves behind and shows meanwhile: directory, journal, recording, receipt, progress, tables; and the door
through which everything from outside enters it (``outside.py``). Imports no TVM."""
