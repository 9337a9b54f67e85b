//! What a webhook can say, in neutral types. What most updates have and few readers want is borrowed
//! from the body.

use std::borrow::Cow;

use crate::errors::ProviderError;

/// One message, receipt or notice out of a webhook body.
#[derive(Clone, Debug, PartialEq)]
pub struct Update<'a> {
    pub waba_id: Option<Cow<'a, str>>,
    /// Which number of ours it concerns; what an update is routed by.
    pub phone_number_id: Option<Cow<'a, str>>,
    /// Digits only where it looks like a phone number, else as given.
    pub display_phone_number: Option<Cow<'a, str>>,
    /// `messages`, `account_update`, …; empty if the provider named none.
    pub field: Cow<'a, str>,
    /// When the provider made the entry; given with most notices, not with messages.
    pub entry_time_ms: Option<u64>,
    pub body: UpdateBody<'a>,
    /// The JSON text of this one element, as it came. A stricter reader may refuse it.
    pub raw: Cow<'a, str>,
}

/// What an update is about.
#[derive(Clone, Debug, PartialEq)]
pub enum UpdateBody<'a> {
    Message(Box<Message>),
    Receipt(Box<Receipt<'a>>),
    /// Sent by the business itself from its phone app, not by a visitor.
    Echo(Box<Echo>),
    Preference(Preference),
    UserIdChange(UserIdChange),
    TemplateStatus(TemplateStatus),
    TemplateQuality(TemplateQuality),
    TemplateCategory(TemplateCategory),
    /// The wording of a template changed: read it again.
    TemplateComponents(TemplateRef),
    AccountUpdate(AccountUpdate),
    AccountReview {
        decision: Option<String>,
    },
    AccountAlert(AccountAlert),
    PhoneQuality(PhoneQuality),
    PhoneName(PhoneName),
    /// Errors that belong to no message.
    AccountError(Vec<ProviderError>),
    Ignored {
        reason: IgnoredReason,
    },
}

/// Why an update means nothing to us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IgnoredReason {
    /// A field we do not follow.
    UnknownField,
    /// A shape that could not be read at all.
    Unreadable,
    /// No envelope around it, or nothing in it.
    Empty,
}

/// Who wrote. Either id may be missing, seldom both; a message with neither belongs to nobody.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sender {
    /// Phone in digits.
    pub wa_id: Option<String>,
    /// Business-scoped user id.
    pub user_id: Option<String>,
    pub parent_user_id: Option<String>,
    pub profile_name: Option<String>,
    /// Without `@`.
    pub username: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub id: Option<String>,
    pub from: Sender,
    pub group_id: Option<String>,
    /// Unix milliseconds; `None` when unreadable (take the time of arrival).
    pub timestamp: Option<u64>,
    pub content: Content,
    pub context: Option<Context>,
    pub referral: Option<Referral>,
}

/// What a message carries.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Text {
        body: String,
    },
    Media(Media),
    Location(Location),
    Contacts(Vec<ContactCard>),
    /// A tap on a button of an interactive message; at least one of the two is there.
    ButtonReply {
        id: Option<String>,
        title: Option<String>,
    },
    /// A choice from a list; at least one of id and title is there.
    ListReply {
        id: Option<String>,
        title: Option<String>,
        description: Option<String>,
    },
    /// `response_json` is JSON in a string, of any shape.
    FlowReply {
        name: Option<String>,
        body: Option<String>,
        response_json: Option<String>,
    },
    CallPermissionReply {
        response: Option<String>,
        permanent: bool,
        expires_at: Option<u64>,
    },
    /// A tap on a quick-reply button of a template; at least one of the two is there.
    TemplateButton {
        payload: Option<String>,
        text: Option<String>,
    },
    /// Without `emoji`: the reaction was taken back.
    Reaction {
        message_id: String,
        emoji: Option<String>,
    },
    Order(Order),
    NumberChange {
        new_wa_id: String,
        body: Option<String>,
    },
    IdentityChange {
        body: Option<String>,
    },
    UserIdChanged {
        user_id: String,
        parent_user_id: Option<String>,
        wa_id: Option<String>,
        body: Option<String>,
    },
    OtherSystem {
        body: Option<String>,
    },
    Edit {
        original_message_id: String,
        content: Box<Self>,
    },
    Revoke {
        original_message_id: String,
    },
    RequestWelcome,
    /// The provider says it cannot hand this on (131051), or sent the kind without its body.
    Unsupported {
        kind: Option<String>,
        errors: Vec<ProviderError>,
    },
    /// We cannot read it.
    Unknown {
        kind: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MediaKind {
    Image,
    Video,
    Audio,
    /// Recorded in the app.
    Voice,
    Document,
    Sticker,
}

/// A file. Without `id` and `url` it could not be fetched by the provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    pub kind: MediaKind,
    /// Valid for 7 days.
    pub id: Option<String>,
    /// Valid for 5 minutes; needs the API key.
    pub url: Option<String>,
    pub mime_type: Option<String>,
    /// Base64 or hex.
    pub sha256: Option<String>,
    pub caption: Option<String>,
    pub filename: Option<String>,
    pub animated: bool,
    /// Why the file is missing (131052).
    pub errors: Vec<ProviderError>,
}

/// At least the coordinates, the name or the address is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Location {
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    pub name: Option<String>,
    pub address: Option<String>,
    pub url: Option<String>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ContactCard {
    pub formatted_name: Option<String>,
    pub first_name: Option<String>,
    pub last_name: Option<String>,
    pub middle_name: Option<String>,
    pub prefix: Option<String>,
    pub suffix: Option<String>,
    pub phones: Vec<ContactPhone>,
    pub emails: Vec<Labelled>,
    pub urls: Vec<Labelled>,
    pub addresses: Vec<Address>,
    pub company: Option<String>,
    pub department: Option<String>,
    pub title: Option<String>,
    pub birthday: Option<String>,
    pub vcard: Option<String>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ContactPhone {
    pub phone: Option<String>,
    pub wa_id: Option<String>,
    pub label: Option<String>,
}

/// A value with a label such as `WORK`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Labelled {
    pub value: Option<String>,
    pub label: Option<String>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Address {
    pub street: Option<String>,
    pub city: Option<String>,
    pub state: Option<String>,
    pub zip: Option<String>,
    pub country: Option<String>,
    pub country_code: Option<String>,
    pub label: Option<String>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Order {
    pub catalog_id: Option<String>,
    pub text: Option<String>,
    pub items: Vec<OrderItem>,
}

/// Amounts stay text: they arrive as number or string, and are money.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OrderItem {
    pub product_retailer_id: Option<String>,
    pub quantity: Option<String>,
    pub item_price: Option<String>,
    pub currency: Option<String>,
}

/// What a message refers to.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Context {
    pub message_id: Option<String>,
    /// Unreliable: our display number, our id, or the visitor.
    pub from: Option<String>,
    pub forwarded: bool,
    pub frequently_forwarded: bool,
    pub referred_product: Option<ReferredProduct>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReferredProduct {
    pub catalog_id: Option<String>,
    pub product_retailer_id: Option<String>,
}

/// The advertisement or post the visitor came from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Referral {
    pub source_url: Option<String>,
    pub source_id: Option<String>,
    /// `ad` or `post`.
    pub source_type: Option<String>,
    pub headline: Option<String>,
    pub body: Option<String>,
    pub media_type: Option<String>,
    pub image_url: Option<String>,
    pub video_url: Option<String>,
    pub thumbnail_url: Option<String>,
    pub ctwa_clid: Option<String>,
    pub welcome_message: Option<String>,
}

/// What became of a message of ours.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt<'a> {
    pub id: Option<Cow<'a, str>>,
    pub status: ReceiptStatus,
    /// Unix milliseconds.
    pub timestamp: Option<u64>,
    /// Phone in digits, or the id of a group.
    pub recipient_id: Option<Cow<'a, str>>,
    pub recipient_user_id: Option<Cow<'a, str>>,
    pub to_group: bool,
    /// In a group: whose receipt it is, by phone or else by user id.
    pub participant: Option<Cow<'a, str>>,
    /// What we gave as `biz_opaque_callback_data`.
    pub callback_data: Option<Cow<'a, str>>,
    pub errors: Vec<ProviderError>,
    pub pricing: Option<Pricing<'a>>,
    pub conversation: Option<Conversation<'a>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReceiptStatus {
    Sent,
    Delivered,
    Read,
    /// A voice message was played.
    Played,
    Failed,
    /// Unknown to us, in lower case: of no effect.
    Other(String),
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pricing<'a> {
    pub billable: Option<bool>,
    pub model: Option<Cow<'a, str>>,
    pub kind: Option<Cow<'a, str>>,
    pub category: Option<Cow<'a, str>>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Conversation<'a> {
    pub id: Option<Cow<'a, str>>,
    pub origin: Option<Cow<'a, str>>,
    pub expires_at: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Echo {
    pub id: Option<String>,
    /// Our own number or its id.
    pub from: Option<String>,
    pub to_wa_id: Option<String>,
    pub to_user_id: Option<String>,
    pub group_id: Option<String>,
    pub timestamp: Option<u64>,
    pub content: Content,
    pub context: Option<Context>,
}

/// A visitor's wish about marketing messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Preference {
    pub wa_id: Option<String>,
    pub user_id: Option<String>,
    pub category: Option<String>,
    pub value: PreferenceValue,
    pub detail: Option<String>,
    pub timestamp: Option<u64>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PreferenceValue {
    Stop,
    Resume,
    Signup,
    Other(String),
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UserIdChange {
    pub wa_id: Option<String>,
    pub previous: Option<String>,
    pub current: Option<String>,
    pub parent_previous: Option<String>,
    pub parent_current: Option<String>,
    pub timestamp: Option<u64>,
}

/// Which template a notice is about.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TemplateRef {
    pub id: Option<String>,
    pub name: Option<String>,
    pub language: Option<String>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TemplateStatus {
    pub template: TemplateRef,
    /// Upper case: `APPROVED`, `PAUSED`, …
    pub event: Option<String>,
    /// `None` also for the provider's `NONE`.
    pub reason: Option<String>,
    pub category: Option<String>,
    /// What the provider says about it in words.
    pub detail: Option<String>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TemplateQuality {
    pub template: TemplateRef,
    pub previous: Option<String>,
    pub new: Option<String>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TemplateCategory {
    pub template: TemplateRef,
    pub previous: Option<String>,
    pub new: Option<String>,
    pub correct: Option<String>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AccountUpdate {
    /// Upper case: `ACCOUNT_RESTRICTION`, `PARTNER_REMOVED`, …
    pub event: Option<String>,
    /// `DISABLE`, `REINSTATE`, `SCHEDULE_FOR_DISABLE`.
    pub ban_state: Option<String>,
    pub ban_date: Option<String>,
    pub violation_type: Option<String>,
    pub restrictions: Vec<Restriction>,
    pub disconnection_reason: Option<String>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Restriction {
    pub kind: Option<String>,
    pub expires_at: Option<u64>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AccountAlert {
    pub entity_type: Option<String>,
    pub entity_id: Option<String>,
    pub severity: Option<String>,
    pub status: Option<String>,
    pub kind: Option<String>,
    pub description: Option<String>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PhoneQuality {
    /// Upper case: `ONBOARDING`, `THROUGHPUT_UPGRADE`, `FLAGGED`, …
    pub event: Option<String>,
    pub current_limit: Option<String>,
    pub old_limit: Option<String>,
    pub max_daily_conversations_per_business: Option<String>,
}

#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PhoneName {
    pub decision: Option<String>,
    pub requested_verified_name: Option<String>,
    pub rejection_reason: Option<String>,
}
