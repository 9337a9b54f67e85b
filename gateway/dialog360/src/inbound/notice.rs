//! Decides what the fields other than `messages` say about accounts, templates and people.

use std::borrow::Cow;

use super::millis;
use super::model::{
    AccountAlert, AccountUpdate, PhoneName, PhoneQuality, Preference, PreferenceValue, Restriction,
    TemplateCategory, TemplateQuality, TemplateRef, TemplateStatus, UpdateBody, UserIdChange,
};
use super::sender::{Contacts, wa_id};
use crate::json::Node;

/// The notice of a field, or `None` for a field that is not followed.
pub(super) fn body<'a>(field: &str, value: &Node<'a>) -> Option<UpdateBody<'a>> {
    Some(match field {
        "message_template_status_update" => UpdateBody::TemplateStatus(template_status(value)),
        "message_template_quality_update" => UpdateBody::TemplateQuality(TemplateQuality {
            template: template(value),
            previous: upper(value.get("previous_quality_score")),
            new: upper(value.get("new_quality_score")),
        }),
        "template_category_update" => UpdateBody::TemplateCategory(TemplateCategory {
            template: template(value),
            previous: upper(value.get("previous_category")),
            new: upper(value.get("new_category")),
            correct: upper(value.get("correct_category")),
        }),
        "message_template_components_update" => UpdateBody::TemplateComponents(template(value)),
        "account_update" => UpdateBody::AccountUpdate(account(value)),
        "account_review_update" => {
            UpdateBody::AccountReview { decision: upper(value.get("decision")) }
        }
        "account_alerts" => UpdateBody::AccountAlert(alert(value)),
        "phone_number_quality_update" => UpdateBody::PhoneQuality(PhoneQuality {
            event: upper(value.get("event")),
            current_limit: upper(value.get("current_limit")),
            old_limit: upper(value.get("old_limit")),
            max_daily_conversations_per_business: upper(
                value.get("max_daily_conversations_per_business"),
            ),
        }),
        "phone_number_name_update" => UpdateBody::PhoneName(PhoneName {
            decision: upper(value.get("decision")),
            requested_verified_name: value.get("requested_verified_name").text(),
            rejection_reason: value.get("rejection_reason").text(),
        }),
        _ => return None,
    })
}

fn upper(node: &Node<'_>) -> Option<String> {
    node.filled().map(str::to_ascii_uppercase)
}

fn template(value: &Node<'_>) -> TemplateRef {
    TemplateRef {
        id: value.get("message_template_id").text(),
        name: value.get("message_template_name").text(),
        language: value.get("message_template_language").text(),
    }
}

fn template_status(value: &Node<'_>) -> TemplateStatus {
    let details = [
        value.get("rejection_info").get("reason"),
        value.get("other_info").get("description"),
        value.get("disable_info").get("disable_date"),
    ];
    TemplateStatus {
        template: template(value),
        event: upper(value.get("event")),
        reason: upper(value.get("reason")).filter(|reason| reason != "NONE"),
        category: upper(value.get("message_template_category")),
        detail: details.into_iter().find_map(Node::text),
    }
}

fn account(value: &Node<'_>) -> AccountUpdate {
    let restriction = |node: &Node<'_>| Restriction {
        kind: upper(node.get("restriction_type")),
        expires_at: millis(node.get("expiration")),
    };
    let ban = value.get("ban_info");
    AccountUpdate {
        event: upper(value.get("event")),
        ban_state: upper(ban.get("waba_ban_state")),
        ban_date: ban.get("waba_ban_date").text(),
        violation_type: upper(value.get("violation_info").get("violation_type")),
        restrictions: value.get("restriction_info").items().iter().map(restriction).collect(),
        disconnection_reason: value.get("disconnection_info").get("reason").text(),
    }
}

fn alert(value: &Node<'_>) -> AccountAlert {
    // The names inside are unsure: with and without the prefix, inside and outside `alert_info`.
    let info = value.get("alert_info");
    let read = |prefixed: &str, plain: &str| {
        let nodes = [info.get(prefixed), info.get(plain), value.get(prefixed)];
        nodes.into_iter().find_map(Node::text)
    };
    AccountAlert {
        entity_type: value.get("entity_type").text(),
        entity_id: value.get("entity_id").text(),
        severity: read("alert_severity", "severity"),
        status: read("alert_status", "status"),
        kind: read("alert_type", "type"),
        description: read("alert_description", "description"),
    }
}

pub(super) fn preference<'a>(contacts: &Contacts<'a>, node: &Node<'a>) -> UpdateBody<'a> {
    let person = contacts.named(node.get("wa_id"), node.get("user_id"));
    let value = node.get("value").filled().unwrap_or_default().to_ascii_lowercase();
    UpdateBody::Preference(Preference {
        wa_id: person.wa_id.map(Cow::into_owned),
        user_id: person.user_id.map(Cow::into_owned),
        category: node.get("category").text(),
        value: match value.as_str() {
            "stop" => PreferenceValue::Stop,
            "resume" => PreferenceValue::Resume,
            "signup" => PreferenceValue::Signup,
            _ => PreferenceValue::Other(value),
        },
        detail: node.get("detail").text(),
        timestamp: millis(node.get("timestamp")),
    })
}

pub(super) fn user_id_change<'a>(node: &Node<'a>) -> UpdateBody<'a> {
    let (user, parent) = (node.get("user_id"), node.get("parent_user_id"));
    UpdateBody::UserIdChange(UserIdChange {
        wa_id: wa_id(node.get("wa_id")),
        previous: user.get("previous").text(),
        current: user.get("current").text().or_else(|| user.text()),
        parent_previous: parent.get("previous").text(),
        parent_current: parent.get("current").text().or_else(|| parent.text()),
        timestamp: millis(node.get("timestamp")),
    })
}
