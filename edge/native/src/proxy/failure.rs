//! Why the origin gave no answer, and what the client is told.

use hyper::StatusCode;

/// Why the origin gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection.
    Connect,
    /// The connection ended before an answer.
    Closed,
    /// No answer within the budget.
    Timeout,
    /// What came is not HTTP, or too large.
    Protocol,
    /// The breaker is open.
    Breaker,
    /// Too many requests are under way.
    Overload,
    /// It answered that it cannot.
    Answer(StatusCode),
}

impl Failure {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Connect | Self::Closed | Self::Protocol => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Breaker | Self::Overload => StatusCode::SERVICE_UNAVAILABLE,
            Self::Answer(status) => status,
        }
    }

    /// A token for the `detail` of `Cache-Status`.
    pub(crate) const fn token(self) -> &'static str {
        match self {
            Self::Connect => "origin-connect",
            Self::Closed => "origin-closed",
            Self::Timeout => "origin-timeout",
            Self::Protocol => "origin-protocol",
            Self::Breaker => "origin-breaker",
            Self::Overload => "origin-overload",
            Self::Answer(_) => "origin-error",
        }
    }
}
