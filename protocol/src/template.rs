//! Templates: each message has a number and a version, and one list generates everything that
//! depends on it: the enumeration, the decoder, the documentation's table.

/// The version that every template has today.
pub const TEMPLATE_VERSION: u16 = 1;

/// Where a template travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a client to the server, on the session stream or a blob stream.
    ClientToServer,
    /// From the server to a client, on the session stream or a blob stream.
    ServerToClient,
    /// From the server to a client, on the stream of a subscription.
    Subscription,
}

/// What the documentation's table says of one template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Template {
    /// The number in the frame header.
    pub id: u16,
    /// The name.
    pub name: &'static str,
    /// Where it travels.
    pub direction: Direction,
    /// What it is for.
    pub doc: &'static str,
}

/// Declares an enumeration of messages, one template each.
macro_rules! templates {
    (
        $(#[$meta:meta])*
        pub enum $enum:ident: $direction:ident {
            $(#[doc = $doc:literal] $id:literal $name:ident($payload:ty),)+
        }
    ) => {
        $(#[$meta])*
        pub enum $enum {
            $(#[doc = $doc] $name($payload),)+
        }

        impl $enum {
            /// The templates of this enumeration, by number.
            pub const TEMPLATES: &'static [crate::template::Template] = &[$(
                crate::template::Template {
                    id: $id,
                    name: stringify!($name),
                    direction: crate::template::Direction::$direction,
                    doc: $doc,
                },
            )+];

            /// Returns the template's number.
            pub fn template_id(&self) -> u16 {
                match self {
                    $(Self::$name(_) => $id,)+
                }
            }

            /// Returns the template's name.
            pub fn template_name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)+
                }
            }

            /// Appends the whole frame of this message to `out`.
            pub fn encode(
                &self,
                codec: crate::codec::Codec,
                number: u64,
                out: &mut alloc::vec::Vec<u8>,
            ) {
                match self {
                    $(Self::$name(payload) => {
                        crate::frame::write_frame(out, $id, number, |out| {
                            crate::codec::Payload::write(payload, codec, out);
                        });
                    })+
                }
            }

            /// Reads the payload of template `id`.
            ///
            /// Returns `None` if no template of this enumeration has that number.
            ///
            /// # Errors
            ///
            /// [`crate::codec::DecodeError`] if the bytes are not a value of the template.
            pub fn decode(
                codec: crate::codec::Codec,
                id: u16,
                payload: &[u8],
            ) -> Option<Result<Self, crate::codec::DecodeError>> {
                match id {
                    $($id => Some(
                        crate::codec::Payload::read(codec, payload).map(Self::$name)
                    ),)+
                    _ => None,
                }
            }
        }
    };
}

pub(crate) use templates;
