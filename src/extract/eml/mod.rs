//! E-mails: subject, who and when, what is said, the names of what is attached, and the messages that are carried along.
//!
//! Plain text is preferred to HTML that says the same, unless it only tells to read the HTML. Attachments are named and not read.

mod header;
mod part;
mod transfer;

use std::collections::HashSet;

use crate::document::{Block, BlockKind};

pub(super) use self::part::is_field;
use self::{
    header::Header,
    part::{Leaf, Message},
};
use super::{blocks::Blocks, charset, error::ExtractError, html, text};

/// Plain text of fewer visible characters may be there only to tell that the HTML says it.
const MAX_STUB_CHARS: usize = 300;

/// Adds what a message says.
pub(super) fn extract(bytes: &[u8], blocks: &mut Blocks) -> Result<(), ExtractError> {
    let messages = part::messages(bytes)?;
    if messages
        .first()
        .is_some_and(|message| is_encrypted(&message.header))
    {
        return Err(ExtractError::Encrypted);
    }
    for message in &messages {
        add(message, blocks)?;
    }
    Ok(())
}

/// Whether only its receiver can open it.
fn is_encrypted(header: &Header<'_>) -> bool {
    let kind = header.content_type();
    match &*kind.value {
        "multipart/encrypted" => true,
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => kind
            .get("smime-type")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("enveloped-data")),
        _ => false,
    }
}

fn add(message: &Message<'_>, blocks: &mut Blocks) -> Result<(), ExtractError> {
    let header = &message.header;
    if let Some(subject) = header.text("subject") {
        let level = message.depth.min(5) + 1;
        blocks.line(BlockKind::Heading { level }, &subject)?;
    }
    let lines = [
        ("From", header.addresses("from")),
        ("To", header.addresses("to")),
        ("Cc", header.addresses("cc")),
        ("Date", header.text("date")),
    ];
    let lines = lines
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name}: {}", value?)));
    let lines: Vec<String> = lines.collect();
    blocks.prose(BlockKind::Paragraph, &lines.join("\n"))?;
    let mut attached = Vec::new();
    let mut body = Body::new(message.depth, blocks);
    for (at, leaf) in message.leaves.iter().enumerate() {
        if !body.awaits(leaf.alternative) {
            body.settle()?;
        }
        match role(leaf, at == 0) {
            Role::Plain => body.plain(leaf)?,
            Role::Html => body.page(leaf)?,
            Role::Attachment(name) => attached.push(attachment(leaf, name.as_deref())),
            Role::Look => {}
        }
    }
    body.settle()?;
    blocks.prose(BlockKind::Paragraph, &attached.join("\n"))
}

/// What the parts of a message say, alternatives once.
struct Body<'a> {
    depth: u8,
    blocks: &'a mut Blocks,
    /// The alternatives of which one was added.
    said: HashSet<usize>,
    /// A short plain text that waits for the page it may only stand in for.
    short: Option<(usize, String)>,
}

impl<'a> Body<'a> {
    fn new(depth: u8, blocks: &'a mut Blocks) -> Self {
        Self {
            depth,
            blocks,
            said: HashSet::new(),
            short: None,
        }
    }

    /// Whether a short text waits for a page of these alternatives.
    fn awaits(&self, alternative: Option<usize>) -> bool {
        let waiting = self.short.as_ref().map(|(group, _)| *group);
        waiting == alternative
    }

    /// Adds the text that waits.
    fn settle(&mut self) -> Result<(), ExtractError> {
        match self.short.take() {
            Some((group, text)) => self.say(Some(group), &text),
            None => Ok(()),
        }
    }

    fn say(&mut self, alternative: Option<usize>, text: &str) -> Result<(), ExtractError> {
        if text.trim().is_empty() {
            return Ok(());
        }
        self.said.extend(alternative);
        text::extract(text, self.blocks)
    }

    fn plain(&mut self, leaf: &Leaf<'_>) -> Result<(), ExtractError> {
        self.settle()?;
        let text = decoded(leaf).unwrap_or_default();
        match leaf.alternative {
            Some(group) if visible_chars(&text) < MAX_STUB_CHARS => {
                self.short = Some((group, text));
                Ok(())
            }
            alternative => self.say(alternative, &text),
        }
    }

    /// Adds a page that no plainer alternative, which comes first, says as well.
    fn page(&mut self, leaf: &Leaf<'_>) -> Result<(), ExtractError> {
        if leaf
            .alternative
            .is_some_and(|group| self.said.contains(&group))
        {
            return Ok(());
        }
        let mut apart = self.blocks.apart();
        html::extract(&decoded(leaf).unwrap_or_default(), &mut apart)?;
        let page = apart.take();
        let shown: usize = page.iter().map(|block| visible_chars(&block.text)).sum();
        if let Some((_, text)) = &self.short {
            if shown <= 2 * visible_chars(text) {
                return self.settle();
            }
            self.short = None;
        }
        add_page(page, self.depth, self.blocks)
    }
}

fn visible_chars(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

/// What a part is to its message.
enum Role {
    Plain,
    Html,
    /// Its name, if it has one.
    Attachment(Option<String>),
    /// What a saved page looks like: its styles and pictures.
    Look,
}

fn role(leaf: &Leaf<'_>, first: bool) -> Role {
    let kind = leaf.header.content_type();
    let disposition = leaf.header.disposition();
    let name = disposition.get("filename").or_else(|| kind.get("name"));
    // Some mail programs name the text itself.
    if disposition.value == "attachment" || name.is_some() && !first {
        return Role::Attachment(name);
    }
    match &*kind.value {
        "text/html" | "application/xhtml+xml" => Role::Html,
        "text/calendar" | "text/vcard" | "text/x-vcard" | "text/directory" => {
            Role::Attachment(name)
        }
        "" | "text" | "text/plain" => Role::Plain,
        // The page names it by where it was: a file of it lies nowhere.
        _ if !first && name.is_none() && leaf.header.text("content-location").is_some() => {
            Role::Look
        }
        "message/delivery-status" | "message/disposition-notification" => Role::Plain,
        value if value.starts_with("text/") => Role::Plain,
        // Parts that nothing parts.
        value if value.starts_with("multipart/") && kind.get("boundary").is_none() => Role::Plain,
        _ => Role::Attachment(name),
    }
}

/// The text of a part; `None` if it is none.
fn decoded(leaf: &Leaf<'_>) -> Option<String> {
    let kind = leaf.header.content_type();
    let bytes = transfer::decode(leaf.body, &leaf.header.encoding());
    let text = charset::decode(&bytes, kind.get("charset").as_deref())?;
    let is = |name, value: &str| {
        kind.get(name)
            .is_some_and(|found| found.eq_ignore_ascii_case(value))
    };
    Some(if is("format", "flowed") {
        unflow(&text, is("delsp", "yes"))
    } else {
        text
    })
}

/// Joins the lines of paragraphs that were broken for transfer: a space at a line's end says so.
fn unflow(text: &str, joined_without_space: bool) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut open: Option<usize> = None;
    for line in text.lines() {
        let said = line.trim_start_matches('>');
        let depth = line.len() - said.len();
        let said = said.strip_prefix(' ').unwrap_or(said);
        if open == Some(depth) {
            whole.push_str(said);
        } else {
            if !whole.is_empty() {
                whole.push('\n');
            }
            whole.push_str(&line[..depth]);
            if depth > 0 {
                whole.push(' ');
            }
            whole.push_str(said);
        }
        // Two dashes and a space begin a signature.
        open = (said.ends_with(' ') && said != "-- ").then_some(depth);
        if open.is_some() && joined_without_space {
            whole.pop();
        }
    }
    whole
}

/// Adds a page whose headings stand under the subject.
fn add_page(page: Vec<Block>, depth: u8, blocks: &mut Blocks) -> Result<(), ExtractError> {
    for block in page {
        let kind = if let BlockKind::Heading { level } = block.kind {
            let level = level.saturating_add(depth).saturating_add(1).min(6);
            BlockKind::Heading { level }
        } else {
            block.kind
        };
        blocks.layout(kind, &block.text)?;
    }
    Ok(())
}

fn attachment(leaf: &Leaf<'_>, name: Option<&str>) -> String {
    let kind = leaf.header.content_type().value;
    let kind = if kind.is_empty() { "text/plain" } else { &kind };
    let size = transfer::decoded_len(leaf.body, &leaf.header.encoding());
    let name = name.unwrap_or("without a name");
    format!("Attachment: {name} ({kind}, {})", size_in_words(size))
}

fn size_in_words(bytes: usize) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{} KB", bytes.div_ceil(1024)),
        bytes => format!("{} MB", bytes.div_ceil(1_048_576)),
    }
}

#[cfg(test)]
mod tests;
