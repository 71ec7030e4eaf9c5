"""The study's charts as Vega-Lite, for the page and as PNG files."""
