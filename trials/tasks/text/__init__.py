"""How texts are scored against reference texts: one family of metrics, one file.

Every metric is a function of predictions and of references, which are one list for each prediction,
of any length, as `pairs.py` says. What is tokenised how stands at the top of each file.

An empty prediction is never an error. Metrics of overlap (BLEU, ROUGE-L, METEOR, NIST, CIDEr-D)
give it 0, even where the reference is empty too, as their authors' scorers do; TER counts edits,
so there two empty texts agree; exact match and F1 of words take "" for "no answer", which may be
right.
"""
