"""Annotation files of labelling tools as objects with a class: polygons, boxes and pixels, matched to no image yet."""
