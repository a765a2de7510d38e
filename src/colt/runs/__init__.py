"""What a run leaves behind and shows meanwhile: directory, journal, receipt, progress, tables. Imports no TVM."""
