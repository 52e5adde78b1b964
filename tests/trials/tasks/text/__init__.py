"""Tests of the metrics of texts."""
