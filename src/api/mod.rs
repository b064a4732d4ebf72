//! The resources that users write, as types: what `flagger.app` accepts, and the status that a pass
//! keeps in it. One kind per file; no decisions and no I/O here.
//!
//! The comments on fields are what `kubectl explain` shows, so they speak to users.

#![expect(
    clippy::doc_markdown,
    reason = "`kubectl explain` shows backticks as they are"
)]
#![allow(
    rustdoc::bare_urls,
    reason = "as above; rustdoc does not know expectations"
)]

pub mod alert_provider;
pub mod analysis;
pub mod canary;
pub mod checks;
pub mod crd;
pub mod metric_template;
pub mod named;
pub mod record;
mod schema;
pub mod service;
pub mod status;
pub mod text;
