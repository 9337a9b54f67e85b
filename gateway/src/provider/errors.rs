//! How patient the provider's media endpoint still is: 20 errors within an hour block it for half
//! an hour, so we pause by ourselves before.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

/// A lookup may fail, be repeated and fail again: some room is left below the provider's 20.
const ERRORS_MAX: usize = 15;
const WITHIN: Duration = Duration::from_hours(1);
const PAUSE: Duration = Duration::from_mins(30);

#[derive(Debug, Default)]
pub(super) struct MediaErrors {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    recent: VecDeque<Instant>,
    paused_until: Option<Instant>,
}

impl MediaErrors {
    pub(super) fn note(&self) {
        let now = Instant::now();
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.recent.push_back(now);
        while state.recent.front().is_some_and(|at| now.duration_since(*at) > WITHIN) {
            state.recent.pop_front();
        }
        if state.recent.len() >= ERRORS_MAX {
            state.recent.clear();
            state.paused_until = Some(now + PAUSE);
            tracing::warn!("fetching files pauses: too many errors within the hour");
        }
    }

    /// Waits while it pauses.
    pub(super) async fn waited_out(&self) {
        loop {
            let until = self.state.read().unwrap_or_else(PoisonError::into_inner).paused_until;
            match until {
                Some(until) if until > Instant::now() => tokio::time::sleep_until(until).await,
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_error_in_the_hour_pauses_for_half_an_hour() {
        let (errors, began) = (MediaErrors::default(), Instant::now());
        for _ in 1..ERRORS_MAX {
            errors.note();
        }
        errors.waited_out().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        tokio::time::advance(WITHIN + Duration::from_secs(1)).await;
        errors.note();
        errors.waited_out().await;
        assert_eq!(began.elapsed(), WITHIN + Duration::from_secs(1), "old errors are forgiven");
        for _ in 1..ERRORS_MAX {
            errors.note();
        }
        let paused = Instant::now();
        errors.waited_out().await;
        assert_eq!(paused.elapsed(), PAUSE);
    }
}
