//! How long a visitor's message took from its receipt to the frame that carries it.

use std::sync::LazyLock;

use metrics::{Histogram, histogram};
use usher_engine::Clock;
use usher_protocol::Time;

use crate::metrics::PUSH_SECONDS;

const RECEIVED: &str = "\"event\":\"message.received\"";

/// Looked up once: there are as many as messages.
static SECONDS: LazyLock<Histogram> = LazyLock::new(|| histogram!(PUSH_SECONDS));

/// Of frames other than a visitor's message there is nothing to observe.
pub(super) fn observe(frame: &str) {
    if let Some(received) = receipt(frame) {
        let passed = Clock::system().now().since(received.0);
        SECONDS.record(passed.as_secs_f64());
    }
}

/// When the message was taken in. The event's name stands at the beginning of its frame, and
/// inside a text every quotation mark is escaped, so what is found is the field.
fn receipt(frame: &str) -> Option<Time> {
    const FIELD: &str = ",\"time\":";
    let (_, event) = frame.split_once(',')?;
    let (_, time) = event.strip_prefix(RECEIVED)?.split_once(FIELD)?;
    let (time, _) = time.split_once([',', '}'])?;
    serde_json::from_str(time).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_visitors_message_has_a_receipt() {
        let frame = |event: &str, body: &str| {
            format!(
                r#"{{"at":140,"event":"{event}","data":{{"message":{{"id":"msg_1","content":{{"kind":"text","body":{}}},"time":"2026-11-23T09:41:00.000Z","provider_time":"2026-11-23T09:40:58.000Z"}}}}}}"#,
                serde_json::to_string(body).unwrap()
            )
        };
        let expected = serde_json::from_str(r#""2026-11-23T09:41:00.000Z""#).ok();
        assert_eq!(receipt(&frame("message.received", "Hi")), expected);
        let sly = r#"","time":"2000-01-01T00:00:00.000Z","#;
        assert_eq!(receipt(&frame("message.received", sly)), expected);
        assert_eq!(receipt(&frame("message.sent", "Hi")), None);
        assert_eq!(receipt(r#"{"re":1,"ok":{}}"#), None);
    }
}
