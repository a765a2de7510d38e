"""The contract of measuring. Imports no TVM."""
