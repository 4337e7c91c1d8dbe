"""What a run measures of itself: statistics, event files, the live view, the summary, the log."""
