"""Decides for the whole business."""
