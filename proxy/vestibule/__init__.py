"""Vestibule: a cookie-consent and analytics proxy, the entrance hall in front of a website."""

__version__ = "0.1.0"
