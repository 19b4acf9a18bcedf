"""Studies: any method over subjects, lesions, counts, noise realisations and settings, on one machine or a cluster."""

from pettutor.study.config import Configuration
from pettutor.study.face import Study
from pettutor.study.runner import Summary

__all__ = ["Configuration", "Study", "Summary"]
