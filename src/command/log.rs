//! Logs: JSON lines on standard error, so that standard output stays for results.

use tracing_subscriber::EnvFilter;

/// Begins to log what `filter` lets through; it was checked with the settings.
pub(super) fn start(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
