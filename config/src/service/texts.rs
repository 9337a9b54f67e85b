//! The auto-messages that are sent where nobody wrote their own.

/// At the message that opens an enquiry.
pub const WELCOME: &str =
    "Hello, and thank you for your message. Somebody will be with you in a moment.";
/// When nobody can answer.
pub const AWAY: &str = "Thank you for your message. Nobody can answer right now; we will come back \
                        to you here as soon as we can.";
/// When an enquiry was closed.
pub const CLOSE: &str =
    "This conversation is closed now. Write to us again whenever you need us. Goodbye!";
