"""Progress, status and TensorBoard summaries of a search."""
