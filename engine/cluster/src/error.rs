//! What went wrong on the way to Redis and back.

use thiserror::Error;

/// Whether what was asked has been done is not known, unless it was refused.
#[derive(Debug, Error)]
pub enum RedisFailed {
    #[error("Redis did not do it: {0}")]
    Redis(#[from] redis::RedisError),
    #[error("Redis did not answer in time")]
    Silent,
    #[error("a script gave something else than it says")]
    Unreadable,
    /// The last attempt to connect is too recent.
    #[error("Redis is not connected")]
    Away,
}
