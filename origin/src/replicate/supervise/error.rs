//! Why a source stopped: what an operator reads and whether another try may help.

use std::error::Error;

use super::super::apply::ApplyError;
use super::super::mapping::MappingError;
use crate::store::StoreError;

/// What a connector's own errors say, so that `?` makes them a [`SourceError`].
pub trait SourceFault: Error + Send + Sync + 'static {
    /// Whether connecting again may help.
    fn is_retryable(&self) -> bool;

    /// What the operator can do: SQL or a sentence; empty where the message says it.
    fn remedy(&self) -> String;
}

/// Why a source stopped. Its message names the object.
#[derive(Debug, thiserror::Error)]
#[error("{}", chain(&**fault))]
pub struct SourceError {
    fault: Box<dyn Error + Send + Sync>,
    is_retryable: bool,
    remedy: String,
}

impl SourceError {
    /// Somebody has to do something; other sources go on.
    #[must_use]
    pub fn fatal(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            fault: message.into().into(),
            is_retryable: false,
            remedy: remedy.into(),
        }
    }

    /// It may be over by itself.
    #[must_use]
    pub fn retryable(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            is_retryable: true,
            ..Self::fatal(message, remedy)
        }
    }

    /// Whether connecting again may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.is_retryable
    }

    /// What the operator can do; empty where the message says it.
    #[must_use]
    pub fn remedy(&self) -> &str {
        &self.remedy
    }
}

impl<E: SourceFault> From<E> for SourceError {
    fn from(fault: E) -> Self {
        Self {
            is_retryable: fault.is_retryable(),
            remedy: fault.remedy(),
            fault: Box::new(fault),
        }
    }
}

impl SourceFault for ApplyError {
    fn is_retryable(&self) -> bool {
        self.is_retryable()
    }

    fn remedy(&self) -> String {
        String::new()
    }
}

impl SourceFault for StoreError {
    fn is_retryable(&self) -> bool {
        self.is_retryable()
    }

    fn remedy(&self) -> String {
        "see that the data directory's disk works, then start again".to_owned()
    }
}

impl SourceFault for MappingError {
    fn is_retryable(&self) -> bool {
        false
    }

    fn remedy(&self) -> String {
        "correct the mapping file; `edgewise replicate check` names everything that does not fit"
            .to_owned()
    }
}

/// The error and its causes in one line; a cause that its error already quotes is not repeated.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ingest::WriteError;

    #[test]
    fn the_message_names_every_cause_once() {
        let io = StoreError::engine(std::io::Error::other("no space left on device"));
        let error = SourceError::from(ApplyError::Store {
            source_name: "main".to_owned(),
            cause: WriteError::Store(Arc::new(io)),
        });
        assert!(!error.is_retryable());
        let text = error.to_string();
        assert!(text.contains("source main"), "{text}");
        assert_eq!(text.matches("no space left on device").count(), 1, "{text}");
        assert!(SourceError::retryable("gone", "wait").is_retryable());
    }
}
