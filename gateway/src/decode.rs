//! What a frame from a client means, before anybody looks at who sends it.

use gavel_protocol::{
    ClientMessage, Codec, Command, DecodeError, FrameHeader, RejectReason, TEMPLATE_VERSION,
};

/// The template of [`ClientMessage::LogonRequest`].
pub(crate) const LOGON_REQUEST: u16 = 1;

/// The template of [`ClientMessage::Heartbeat`].
pub(crate) const HEARTBEAT: u16 = 2;

/// Reads a command. `None` if the frame is not one, or not of the version that is spoken here.
pub(crate) fn decode_command(
    codec: Codec,
    header: FrameHeader,
    payload: &[u8],
) -> Option<Result<Command, RejectReason>> {
    if header.version != TEMPLATE_VERSION {
        return None;
    }
    let command = Command::decode(codec, header.template, payload)?;
    Some(match command {
        Err(DecodeError) => Err(RejectReason::MalformedPayload),
        Ok(command) if !command.is_on_the_wire() => Err(RejectReason::UnknownTemplate),
        Ok(command) => Ok(command),
    })
}

/// Reads a message that is not a command.
pub(crate) fn decode_message(
    codec: Codec,
    header: FrameHeader,
    payload: &[u8],
) -> Result<ClientMessage, RejectReason> {
    if header.version == TEMPLATE_VERSION {
        return ClientMessage::decode(codec, header.template, payload)
            .ok_or(RejectReason::UnknownTemplate)?
            .map_err(|DecodeError| RejectReason::MalformedPayload);
    }
    let known = [ClientMessage::TEMPLATES, Command::TEMPLATES]
        .into_iter()
        .flatten()
        .any(|template| template.id == header.template);
    Err(if known { RejectReason::UnsupportedVersion } else { RejectReason::UnknownTemplate })
}

#[cfg(test)]
mod tests {
    use gavel_protocol::Template;

    use super::*;

    #[test]
    fn the_templates_that_are_treated_apart_have_these_numbers() {
        let named = |name| move |template: &&Template| template.name == name;
        let id = |name| ClientMessage::TEMPLATES.iter().find(named(name)).unwrap().id;
        assert_eq!(id("LogonRequest"), LOGON_REQUEST);
        assert_eq!(id("Heartbeat"), HEARTBEAT);
    }
}
