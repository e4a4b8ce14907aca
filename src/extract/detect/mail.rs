//! Whether a text begins as an e-mail does.

use std::collections::HashSet;

use super::super::eml;

/// What the first lines say in the fields of an e-mail's header.
#[derive(Default)]
pub(super) struct Fields {
    /// How many of those that people write.
    pub(super) written: usize,
    /// The sender has an address.
    pub(super) address: bool,
    /// It has some that only mail programs write, beside one of those, or is a page that was saved as if it were sent.
    pub(super) sent: bool,
}

/// How far into a file the header of an e-mail may reach.
const MAX_MAIL_HEADER_BYTES: usize = 256 * 1024;
/// Fields that people know.
const WRITTEN_FIELDS: [&str; 5] = ["from", "to", "cc", "subject", "date"];
/// Fields that mail programs add.
const SENT_FIELDS: [&str; 6] = [
    "received",
    "return-path",
    "message-id",
    "mime-version",
    "delivered-to",
    "dkim-signature",
];

pub(super) fn mail_fields(bytes: &[u8]) -> Fields {
    let head = &bytes[..bytes.len().min(MAX_MAIL_HEADER_BYTES)];
    let mut met = HashSet::new();
    let (mut address, mut related) = (false, false);
    for (at, line) in head.split(|byte| *byte == b'\n').enumerate() {
        let folded = line.starts_with(b" ") || line.starts_with(b"\t");
        let mailbox = at == 0 && line.starts_with(b"From ");
        if line.trim_ascii_end().is_empty() {
            break;
        }
        if !(mailbox || folded && at > 0) {
            if !eml::is_field(line) {
                return Fields::default();
            }
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            let name = name.trim_ascii_end().to_ascii_lowercase();
            address |= name == b"from" && line.contains(&b'@');
            related |= name == b"content-type" && is_related(line);
            met.insert(name);
        }
    }
    let count = |fields: &[&str]| {
        fields
            .iter()
            .filter(|name| met.contains(name.as_bytes()))
            .count()
    };
    let written = count(&WRITTEN_FIELDS);
    Fields {
        written,
        address,
        sent: written > 0 && count(&SENT_FIELDS) > 0
            || related && met.contains(&b"mime-version"[..]),
    }
}

/// Whether a `Content-Type` is that of a page with what it shows, as browsers and Word save one to a file (`.mht`).
fn is_related(line: &[u8]) -> bool {
    const RELATED: &[u8] = b"multipart/related";
    let value = line.splitn(2, |byte| *byte == b':').nth(1);
    value
        .and_then(|value| value.trim_ascii_start().get(..RELATED.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(RELATED))
}
