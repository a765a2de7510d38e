"""Runs in progress and past ones as live pages: read only, on this machine unless told otherwise.

``runs.py`` finds run directories and keeps what was read of them; ``app.py`` is the Starlette application, whose pages
are those of reports with scripts and data fetched from it; ``serve.py`` runs it under uvicorn.
"""
