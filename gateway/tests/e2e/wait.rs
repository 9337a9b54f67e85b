//! Waiting for something to become true, with an end to it.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, interval};

/// Long enough for a loaded machine, short enough to notice.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until there is an answer.
pub(crate) async fn until<T, E: Debug>(what: &str, ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    until_within(PATIENCE, what, ask).await
}

pub(crate) async fn until_within<T, E: Debug>(
    patience: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let started = Instant::now();
    let mut turns = interval(Duration::from_millis(20));
    loop {
        turns.tick().await;
        match ask().await {
            Ok(found) => return found,
            Err(why) if started.elapsed() > patience => panic!("no {what}: {why:?}"),
            Err(_) => {}
        }
    }
}
