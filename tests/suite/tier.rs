//! How much is run, said by one variable.
//!
//! | `TEST_DAVY_TIER` | what is run |
//! |---|---|
//! | not set | what a developer waits for: every subject in memory, and of the long proofs a few stories each |
//! | `thorough` | all stories of all proofs, and the real control plane, Prometheus and so on as far as the machine has the tools; what it has none for is skipped in one visible line each |
//! | `required` | the same, and a tool that is missing is a failure |

use std::env;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    Everyday,
    Thorough,
    Required,
}

/// # Panics
/// Where the variable says none of them.
pub(crate) fn tier() -> Tier {
    match env::var_os("TEST_DAVY_TIER") {
        None => Tier::Everyday,
        Some(name) if name.is_empty() => Tier::Everyday,
        Some(name) if name == "thorough" => Tier::Thorough,
        Some(name) if name == "required" => Tier::Required,
        Some(other) => panic!(
            "TEST_DAVY_TIER={} is none of: thorough, required",
            other.display()
        ),
    }
}

/// Whether all is run that there is.
pub(crate) fn is_thorough() -> bool {
    tier() != Tier::Everyday
}
