"""From the predictions of several models to one: averages, votes, weights found out of fold, boxes, copies."""
