"""Pages and charts: about a dataset, about a trained experiment."""
