//! All metrics of the engine: names, units, help. Dashboards are tested against these.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub const MESSAGES: &str = "usher_messages_total";
pub const ENQUIRIES_LIVE: &str = "usher_enquiries_live";
pub const ENQUIRIES: &str = "usher_enquiries_total";
pub const DECISIONS: &str = "usher_routing_decisions_total";
pub const WAIT: &str = "usher_routing_wait_seconds";
pub const OFFER_SECONDS: &str = "usher_offer_seconds";
pub const OFFERS: &str = "usher_offers_total";
pub const QUEUE_LENGTH: &str = "usher_queue_length";
pub const OLDEST_WAITING: &str = "usher_oldest_waiting_seconds";
pub const AUTO_CLOSE: &str = "usher_auto_close_total";
pub const STAFF: &str = "usher_staff";
pub const CAPACITY_USED: &str = "usher_capacity_used_ratio";
pub const SERVICE_LEVEL: &str = "usher_service_level_ratio";
pub const TIMER_LATENESS: &str = "usher_timer_lateness_seconds";
pub const TIMER_ARMED: &str = "usher_timer_armed";
pub const COMMIT_SECONDS: &str = "usher_journal_commit_seconds";
pub const BATCH_RECORDS: &str = "usher_journal_batch_records";
pub const LOG_WAIT: &str = "usher_journal_log_wait_seconds";
pub const LOG_FULL: &str = "usher_journal_log_full_total";
pub const LOG_FAILED: &str = "usher_journal_log_failed_total";
pub const COMMITS_SUPERSEDED: &str = "usher_commits_superseded_total";
pub const PROJECTOR_LAG: &str = "usher_projector_lag_seconds";
pub const OUTBOUND_PENDING: &str = "usher_outbound_pending";
pub const OUTBOUND_UNKNOWN: &str = "usher_outbound_unknown_total";
pub const MAILBOX_FULL: &str = "usher_mailbox_full_total";
pub const RESTARTS: &str = "usher_actor_restarts_total";
pub const SLOWED: &str = "usher_webhooks_slowed_total";
pub const PRUNED: &str = "usher_pruned_total";
pub const STOPPED: &str = "usher_services_stopped_total";
pub const VIOLATIONS: &str = "usher_invariant_violations_total";
pub const DUPLICATES: &str = "usher_duplicates_total";
pub const WALL_STEPS: &str = "usher_wall_clock_steps_total";
pub const QUARANTINED: &str = "usher_quarantined_total";
pub const UNMATCHED: &str = "usher_receipts_unmatched_total";
pub const EVENTS: &str = "usher_events_total";
pub const FEED_RESUMES: &str = "usher_feed_resumes_total";
pub const EVICTED: &str = "usher_sessions_evicted_total";
pub const CHANNEL_UP: &str = "usher_channel_up";
pub const LAST_INBOUND: &str = "usher_channel_last_inbound_timestamp_seconds";

/// Says what each metric means; call once a recorder is installed.
pub fn describe() {
    describe_counter!(MESSAGES, "Messages by direction, kind and outcome.");
    describe_gauge!(ENQUIRIES_LIVE, "Live enquiries by state.");
    describe_counter!(ENQUIRIES, "Enquiries ended, by outcome.");
    describe_counter!(DECISIONS, "Routing decisions by rule and outcome.");
    describe_histogram!(WAIT, Unit::Seconds, "From the opening message to the pick-up.");
    describe_histogram!(OFFER_SECONDS, Unit::Seconds, "How long offers stood, by outcome.");
    describe_counter!(OFFERS, "Offers ended, by outcome.");
    describe_gauge!(QUEUE_LENGTH, "Enquiries in line, by destination.");
    describe_gauge!(
        OLDEST_WAITING,
        Unit::Seconds,
        "How long the first in line has waited, by destination."
    );
    describe_counter!(AUTO_CLOSE, "Auto-close notifications and closures, by outcome.");
    describe_gauge!(STAFF, "People by presence.");
    describe_gauge!(CAPACITY_USED, "Slots in use over the slots of Active people.");
    describe_gauge!(
        SERVICE_LEVEL,
        "Share of enquiries picked up within the service level since the start."
    );
    describe_histogram!(TIMER_LATENESS, Unit::Seconds, "How late deadlines were told, by kind.");
    describe_gauge!(TIMER_ARMED, "Deadlines that are armed.");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "One journal transaction.");
    describe_histogram!(BATCH_RECORDS, "Records per journal transaction.");
    describe_histogram!(
        LOG_WAIT,
        Unit::Seconds,
        "How long commits waited for the journal's log to be written back."
    );
    describe_counter!(LOG_FULL, "Of these waits, those because the log was as long as it may be.");
    describe_counter!(LOG_FAILED, "Failures to write the journal's log back.");
    describe_counter!(
        COMMITS_SUPERSEDED,
        "Commits refused because another process owns the service by now."
    );
    describe_gauge!(PROJECTOR_LAG, Unit::Seconds, "How far the archive is behind the journal.");
    describe_gauge!(OUTBOUND_PENDING, "Messages waiting to be sent, by channel.");
    describe_counter!(OUTBOUND_UNKNOWN, "Messages whose sending ended with an unknown outcome.");
    describe_counter!(MAILBOX_FULL, "Work refused because a bounded mailbox was full, by actor.");
    describe_counter!(RESTARTS, "Services rebuilt from what is durable, by the actor that broke.");
    describe_counter!(SLOWED, "Webhooks that had to wait because the archive was behind.");
    describe_counter!(PRUNED, "What was kept long enough and is gone, by what it was.");
    describe_counter!(STOPPED, "Services that stopped because rebuilding them did not help.");
    describe_counter!(VIOLATIONS, "Invariants found broken, by id.");
    describe_counter!(DUPLICATES, "Provider messages seen before and not taken twice.");
    describe_counter!(WALL_STEPS, "Steps of the wall clock by more than two seconds.");
    describe_counter!(QUARANTINED, "Updates kept aside because nothing could be done with them.");
    describe_counter!(UNMATCHED, "Receipts kept after waiting in vain for their messages.");
    describe_counter!(EVENTS, "Events told to people; each is written once for all of them.");
    describe_counter!(FEED_RESUMES, "Sessions that came back, by outcome.");
    describe_counter!(EVICTED, "Connections let go because they read too slowly or were dead.");
    describe_gauge!(CHANNEL_UP, "1 while the channel sends, 0 while it is stopped.");
    describe_gauge!(
        LAST_INBOUND,
        Unit::Seconds,
        "When the channel last heard from the provider (Unix time)."
    );
}
