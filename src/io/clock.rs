//! The time: the system's, or one that stands still until it is moved. Nothing else in Davy reads
//! the system's clock, so that a rehearsal runs in its own time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

/// Where `now` comes from. Clones of a virtual clock share their time.
#[derive(Clone, Debug)]
pub enum Clock {
    System,
    Virtual(Arc<Mutex<Timestamp>>),
}

impl Clock {
    /// A clock that shows `now` until somebody sleeps on it or moves it.
    pub fn fixed(now: Timestamp) -> Self {
        Self::Virtual(Arc::new(Mutex::new(now)))
    }

    pub fn now(&self) -> Timestamp {
        match self {
            #[expect(
                clippy::disallowed_methods,
                reason = "this is where the time comes from"
            )]
            Self::System => Timestamp::now(),
            Self::Virtual(time) => *time.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Waits until `time`. A virtual clock is there at once, and never goes back.
    pub async fn sleep_until(&self, time: Timestamp) {
        match self {
            Self::System => {
                // Negative when the time has passed.
                let left = Duration::try_from(time.duration_since(self.now())).unwrap_or_default();
                tokio::time::sleep(left).await;
            }
            Self::Virtual(now) => {
                {
                    let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
                    *now = time.max(*now);
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits that long; beyond the end of time, until then.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(
            self.now()
                .saturating_add(duration)
                .unwrap_or(Timestamp::MAX),
        )
        .await;
    }

    /// Sets a virtual clock, also back: what a pass sees after a clock was corrected.
    /// The system's clock is not ours to set.
    pub fn set(&self, time: Timestamp) {
        if let Self::Virtual(now) = self {
            *now.lock().unwrap_or_else(PoisonError::into_inner) = time;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::Clock;

    #[tokio::test]
    async fn a_virtual_clock_moves_by_sleeping_and_not_otherwise() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let clock = Clock::fixed(start);
        let shared = clock.clone();
        assert_eq!(clock.now(), start);
        clock.sleep(Duration::from_hours(1)).await;
        assert_eq!(shared.now(), start + Duration::from_hours(1));
        // A time that has passed is there already, and the clock does not go back to it.
        clock.sleep_until(start).await;
        assert_eq!(clock.now(), start + Duration::from_hours(1));
        clock.set(start);
        assert_eq!(shared.now(), start);
        clock.sleep(Duration::MAX).await;
        assert_eq!(clock.now(), Timestamp::MAX);
    }

    #[tokio::test]
    async fn the_system_clock_does_not_wait_for_the_past() {
        let clock = Clock::System;
        let before = clock.now();
        clock.sleep_until(Timestamp::MIN).await;
        clock.set(Timestamp::MIN);
        clock.sleep(Duration::from_millis(2)).await;
        assert!(clock.now() >= before + Duration::from_millis(2));
    }
}
