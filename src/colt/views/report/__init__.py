"""Pages about runs: what a run directory tells (``source.py``), as charts and tables, in one file that
needs no network.

A chart is described once (``chart.py``), drawn by Plotly in pages (``figure.py``) and by Matplotlib as PNG
(``assets.py``), which needs no browser, and is its own data as CSV. Each file in ``panels/`` makes what one panel
shows.
Everything from a run directory is untrusted: it gets into a page as escaped text or as escaped JSON, never as HTML.
"""
