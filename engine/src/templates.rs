//! Whether a template can be sent, as far as the provider has said; read when one is to be sent.

use usher_domain::ids::ChannelId;
use usher_domain::template::{Listed, Template, fits};
use usher_protocol::refusal::{Code, Refusal};

use crate::peers::Peers;

/// Refuses what the provider would refuse, before anything is queued. A channel whose templates
/// were never listed lets everything through.
pub(crate) fn judge(peers: &Peers, channel: ChannelId, template: &Template) -> Result<(), Refusal> {
    if let Some(file) = template.file()
        && !matches!(peers.reader.media(peers.id, file), Ok(Some(_)))
    {
        return Err(Refusal::saying(Code::NotFound, "There is no such file."));
    }
    let listed = match peers.reader.templates_of(peers.id, channel) {
        Ok(Some(listed)) => listed.templates,
        Ok(None) => return Ok(()),
        Err(error) => {
            tracing::error!(%error, "a channel's templates could not be read");
            return Err(Code::Unavailable.into());
        }
    };
    let Ok(all) = serde_json::from_str::<Vec<Listed>>(&listed) else {
        tracing::error!(%channel, "a channel's templates are not understood");
        return Ok(());
    };
    fits(&all, template).map_err(|unfit| Refusal::saying(Code::TemplateUnfit, unfit.to_string()))
}
