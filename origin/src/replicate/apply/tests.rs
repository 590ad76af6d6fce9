//! The applier on the real writer.
