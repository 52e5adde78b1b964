"""Statistics of paired seeds: arrays in, findings out. Nothing here reads or writes a file.

One question a file. `findings.analyse` answers all of them for a table; the files below it can be
used alone. Differences are oriented so that a positive one favours the treatment, whatever the
metric's direction.
"""
