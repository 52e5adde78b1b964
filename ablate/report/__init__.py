"""The report: findings and frame in; one self-contained page, figures and CSV files out.

This package computes no statistic. Every number that it prints is a field of the findings document
or a raw row of the frame; a number that is not there is printed as a dash, never as zero.

`render` writes the files; `view` and `rows` arrange what the page says, `caveats` and `methods`
phrase what a reader must know, `words` turns values into text; `tables` writes CSV; `figures`
draws, one module a figure, on what `canvas` and `svgtext` provide.
"""
