"""Demand that mostly is zero."""
