//! The fixtures, written from the provider's documentation.

/// Name and body of every fixture.
pub(crate) const FIXTURES: &[(&str, &str)] = &[
    ("bare", include_str!("../fixtures/bare.json")),
    ("batch", include_str!("../fixtures/batch.json")),
    ("changes", include_str!("../fixtures/changes.json")),
    ("contentless_interactive", include_str!("../fixtures/contentless_interactive.json")),
    ("context", include_str!("../fixtures/context.json")),
    ("duplicate", include_str!("../fixtures/duplicate.json")),
    ("media", include_str!("../fixtures/media.json")),
    ("notices", include_str!("../fixtures/notices.json")),
    ("odd_forms", include_str!("../fixtures/odd_forms.json")),
    ("places_and_people", include_str!("../fixtures/places_and_people.json")),
    ("senders", include_str!("../fixtures/senders.json")),
    ("statuses", include_str!("../fixtures/statuses.json")),
    ("system", include_str!("../fixtures/system.json")),
    ("taps", include_str!("../fixtures/taps.json")),
    ("text", include_str!("../fixtures/text.json")),
];
