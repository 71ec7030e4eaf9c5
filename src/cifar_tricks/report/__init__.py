"""The report as Markdown, CSV and LaTeX."""
