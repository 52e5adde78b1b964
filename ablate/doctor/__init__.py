"""Looks over an installation, a store and a study, and mends what can be mended."""

from ablate.doctor.agreement import tracked
from ablate.doctor.files import trial_files
from ablate.doctor.finding import Finding
from ablate.doctor.machine import machine
from ablate.doctor.record import journal_of

__all__ = ["Finding", "journal_of", "machine", "tracked", "trial_files"]
