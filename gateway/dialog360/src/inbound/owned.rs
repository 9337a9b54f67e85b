//! Decides what an update is without the body it was read from, where that was not text as it stood.

use std::borrow::Cow;

use super::model::{Conversation, Pricing, Receipt, Update, UpdateBody};

impl Update<'_> {
    /// The same, without the body it was read from.
    pub fn into_owned(self) -> Update<'static> {
        Update {
            waba_id: owned(self.waba_id),
            phone_number_id: owned(self.phone_number_id),
            display_phone_number: owned(self.display_phone_number),
            field: self.field.into_owned().into(),
            entry_time_ms: self.entry_time_ms,
            body: self.body.into_owned(),
            raw: self.raw.into_owned().into(),
        }
    }
}

impl UpdateBody<'_> {
    fn into_owned(self) -> UpdateBody<'static> {
        match self {
            Self::Receipt(receipt) => UpdateBody::Receipt(Box::new(receipt.into_owned())),
            Self::Message(message) => UpdateBody::Message(message),
            Self::Echo(echo) => UpdateBody::Echo(echo),
            Self::Preference(wish) => UpdateBody::Preference(wish),
            Self::UserIdChange(change) => UpdateBody::UserIdChange(change),
            Self::TemplateStatus(status) => UpdateBody::TemplateStatus(status),
            Self::TemplateQuality(quality) => UpdateBody::TemplateQuality(quality),
            Self::TemplateCategory(category) => UpdateBody::TemplateCategory(category),
            Self::TemplateComponents(template) => UpdateBody::TemplateComponents(template),
            Self::AccountUpdate(update) => UpdateBody::AccountUpdate(update),
            Self::AccountReview { decision } => UpdateBody::AccountReview { decision },
            Self::AccountAlert(alert) => UpdateBody::AccountAlert(alert),
            Self::PhoneQuality(quality) => UpdateBody::PhoneQuality(quality),
            Self::PhoneName(name) => UpdateBody::PhoneName(name),
            Self::AccountError(errors) => UpdateBody::AccountError(errors),
            Self::Ignored { reason } => UpdateBody::Ignored { reason },
        }
    }
}

impl Receipt<'_> {
    fn into_owned(self) -> Receipt<'static> {
        Receipt {
            id: owned(self.id),
            status: self.status,
            timestamp: self.timestamp,
            recipient_id: owned(self.recipient_id),
            recipient_user_id: owned(self.recipient_user_id),
            to_group: self.to_group,
            participant: owned(self.participant),
            callback_data: owned(self.callback_data),
            errors: self.errors,
            pricing: self.pricing.map(|pricing| Pricing {
                billable: pricing.billable,
                model: owned(pricing.model),
                kind: owned(pricing.kind),
                category: owned(pricing.category),
            }),
            conversation: self.conversation.map(|conversation| Conversation {
                id: owned(conversation.id),
                origin: owned(conversation.origin),
                expires_at: conversation.expires_at,
            }),
        }
    }
}

fn owned(text: Option<Cow<'_, str>>) -> Option<Cow<'static, str>> {
    text.map(|text| text.into_owned().into())
}
