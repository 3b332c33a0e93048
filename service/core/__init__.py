"""What every room uses: errors, logs, metrics, the process's lifecycle, response headers."""
