//! What the promotion records tell in sum: DORA's metrics as numbers and as a table, and a page of
//! every rollout. Pure: files and the time in, text out.

pub mod dora;
pub mod html;
mod period;
pub mod replay;
mod rollouts;
mod span;
pub mod text;

pub use period::{Period, Since};
pub use rollouts::{Rollout, Trail};
