//! What becomes of a request: an answer, or a refusal in AWS's words.

/// Why a request is refused.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// What becomes of a request.
pub(super) type Answered<T> = Result<T, Refusal>;

pub(super) fn refuse<T>(code: &'static str, message: impl Into<String>) -> Answered<T> {
    Err(Refusal { code, message: message.into() })
}
