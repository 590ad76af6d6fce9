//! Whether an event is what the server wrote.

use mysql_async::binlog::events::Event;

use super::event::kind;

/// Compares the event with its checksum, where it has one. A changed byte of a row is a row like
/// any other: nothing else would tell.
///
/// What the server makes up or changes while it sends says nothing of rows and is not looked at.
pub(super) fn is_intact(event: &Event) -> bool {
    let kind = event.header().event_type_raw();
    if matches!(
        kind,
        kind::FORMAT_DESCRIPTION | kind::ROTATE | kind::HEARTBEAT | kind::HEARTBEAT_V2
    ) {
        return true;
    }
    match (event.footer().get_checksum_alg(), event.checksum()) {
        (Ok(Some(kind)), Some(sum)) => event.calc_checksum(kind) == u32::from_le_bytes(sum),
        // The server writes none.
        _ => true,
    }
}
