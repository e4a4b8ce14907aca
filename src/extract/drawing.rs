//! Text of drawings: shapes, charts and diagrams as all Office formats hold them.

use super::{
    error::ExtractError,
    xml::{self, Node},
};

/// Adds the paragraphs of a part's shapes, in the order of the file.
pub(super) fn paragraphs(xml: &str) -> Result<Vec<String>, ExtractError> {
    let mut found = Vec::new();
    let mut paragraph = String::new();
    let mut in_text = false;
    let mut alternatives = Alternatives::default();
    xml::walk(xml, |node| {
        if alternatives.leave_out(&node) {
            return Ok(());
        }
        match node {
            Node::Start("t", _) => in_text = true,
            Node::End("t") => in_text = false,
            Node::Start("br", _) => paragraph.push('\n'),
            Node::Text(text) if in_text => paragraph.push_str(text),
            Node::End("p") => {
                let text = std::mem::take(&mut paragraph);
                if !text.trim().is_empty() {
                    found.push(text);
                }
            }
            Node::Start(..) | Node::End(_) | Node::Text(_) => {}
        }
        Ok(())
    })?;
    Ok(found)
}

/// A longer paragraph heads no slide.
const MAX_HEADING_BYTES: usize = 100;

/// Whether a paragraph that comes first on a slide is its title, though not marked as one: boxes of free text are often used so.
pub(super) fn heads(text: &str) -> bool {
    let text = text.trim();
    text.len() <= MAX_HEADING_BYTES && !text.contains('\n') && text.chars().any(char::is_alphabetic)
}

/// What a chart says in words: its title and those of its axes, then the names of its series and categories, each once.
///
/// Its numbers say little without the picture, and stand in a sheet where they matter.
pub(super) fn chart(xml: &str) -> Result<Chart, ExtractError> {
    let mut chart = Chart::default();
    let mut path: Vec<Place> = Vec::new();
    let mut text = String::new();
    xml::walk(xml, |node| {
        match node {
            Node::Start(name, _) => {
                let inside = path.last().copied().unwrap_or(Place::Elsewhere);
                path.push(match (name, inside) {
                    ("title", _) => Place::Title,
                    ("tx", Place::Elsewhere) | ("cat", _) => Place::Label,
                    ("v", Place::Label) | ("t" | "v", Place::Title) => Place::Value,
                    ("val" | "xVal" | "yVal" | "bubbleSize" | "formatCode" | "f", _) => {
                        Place::Numbers
                    }
                    (_, inside) => inside,
                });
            }
            Node::End(name) => {
                let ended = path.pop();
                let inside = path.last().copied().unwrap_or(Place::Elsewhere);
                match (name, ended, inside) {
                    ("v", Some(Place::Value), _) => chart.label(std::mem::take(&mut text)),
                    ("p", _, Place::Title) => chart.titles.push(std::mem::take(&mut text)),
                    _ => {}
                }
            }
            Node::Text(piece) => {
                if path.last() == Some(&Place::Value) {
                    text.push_str(piece);
                }
            }
        }
        Ok(())
    })?;
    Ok(chart)
}

/// Where a reader of a chart is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Elsewhere,
    Title,
    /// Names of series and categories.
    Label,
    /// Within the text of one of these.
    Value,
    Numbers,
}

/// The words of a chart.
#[derive(Debug, Default)]
pub(super) struct Chart {
    pub(super) titles: Vec<String>,
    pub(super) labels: Vec<String>,
    seen: std::collections::HashSet<String>,
}

impl Chart {
    fn label(&mut self, label: String) {
        // Each series repeats the categories; years and numbers of categories are words here.
        if !label.trim().is_empty() && self.seen.insert(label.clone()) {
            self.labels.push(label);
        }
    }
}

/// Leaves out the second versions of what another element holds for newer programs.
#[derive(Debug, Default)]
pub(super) struct Alternatives {
    /// Whether one has been chosen, for each open choice.
    chosen: Vec<bool>,
    /// How many elements are open within one that is left out, itself included.
    left_out: usize,
}

impl Alternatives {
    /// Whether the node is of a version that is left out.
    pub(super) fn leave_out(&mut self, node: &Node<'_>) -> bool {
        if self.left_out > 0 {
            match node {
                Node::Start(..) => self.left_out += 1,
                Node::End(_) => self.left_out -= 1,
                Node::Text(_) => {}
            }
            return true;
        }
        match node {
            Node::Start("AlternateContent", _) => self.chosen.push(false),
            Node::End("AlternateContent") => {
                self.chosen.pop();
            }
            Node::Start("Choice" | "Fallback", _) => {
                if let Some(chosen) = self.chosen.last_mut()
                    && std::mem::replace(chosen, true)
                {
                    self.left_out = 1;
                    return true;
                }
            }
            Node::Start(..) | Node::End(_) | Node::Text(_) => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_of_shapes_are_read_in_one_version() {
        let xml = "<x xmlns:a='a' xmlns:m='m'><m:AlternateContent><m:Choice><a:p><a:r><a:t>one </a:t></a:r><a:r>\
            <a:t>two</a:t></a:r></a:p></m:Choice><m:Fallback><a:p><a:t>again</a:t></a:p></m:Fallback>\
            </m:AlternateContent><a:p/><a:p><a:t>three</a:t></a:p></x>";
        assert_eq!(paragraphs(xml).expect("XML"), ["one two", "three"]);
    }

    #[test]
    fn a_chart_has_titles_series_and_categories_and_no_values() {
        let xml = "<c><title><tx><rich><p><r><t>Rain</t></r></p></rich></tx></title><ser><tx><strRef><f>A!B1</f><strCache>\
            <pt><v>north</v></pt></strCache></strRef></tx><cat><strRef><f>A!A2</f><strCache><pt><v>May</v></pt>\
            </strCache></strRef></cat><val><numRef><f>A!B2</f><numCache><pt><v>3</v></pt></numCache></numRef></val></ser>\
            <ser><tx><v>south</v></tx><cat><strRef><strCache><pt><v>May</v></pt></strCache></strRef></cat></ser></c>";
        let chart = chart(xml).expect("XML");
        assert_eq!(chart.titles, ["Rain"]);
        assert_eq!(chart.labels, ["north", "May", "south"]);
    }
}
