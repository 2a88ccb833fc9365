"""Masks as arrays, run lengths, boxes, polygons and components: what targets, metrics, steps and submissions share."""
