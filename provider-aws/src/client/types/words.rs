//! AWS's spelling of closed sets of values.

/// A word AWS's API does not know in this place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not one of {allowed}")]
pub struct UnknownWord {
    /// What was found.
    pub value: String,
    /// What is allowed, separated by commas.
    pub allowed: &'static str,
}

/// Gives an enum AWS's spelling of its values: `as_str`, `Display`, `FromStr` and the list of all.
macro_rules! wire_words {
    ($type:ident { $first:ident = $first_word:literal $(, $variant:ident = $word:literal)* $(,)? }) => {
        impl $type {
            /// Every value.
            pub const ALL: &'static [Self] = &[Self::$first $(, Self::$variant)*];

            /// AWS's spelling.
            pub const fn as_str(self) -> &'static str {
                match self {
                    Self::$first => $first_word,
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $type {
            type Err = $crate::client::UnknownWord;

            fn from_str(value: &str) -> Result<Self, Self::Err> {
                match value {
                    $first_word => Ok(Self::$first),
                    $($word => Ok(Self::$variant),)*
                    _ => Err($crate::client::UnknownWord {
                        value: value.to_owned(),
                        allowed: concat!($first_word $(, ", ", $word)*),
                    }),
                }
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}
pub(crate) use wire_words;
