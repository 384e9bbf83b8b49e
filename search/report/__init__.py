"""The report of a run: one HTML file that needs nothing but itself."""

from .page import REPORT_FILE, write_report

__all__ = ["REPORT_FILE", "write_report"]
