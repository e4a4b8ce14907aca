//! The shapes of a slide or of its notes.

use std::mem;

use quick_xml::events::BytesStart;

use crate::document::BlockKind;

use super::{
    super::{
        drawing::Alternatives,
        error::ExtractError,
        numeral::number,
        xml::{self, Node},
    },
    order::{Area, reading_order},
};

/// Groups within groups beyond this are read as if their shapes were in the last one that counts: each level moves all that
/// it holds.
const MAX_GROUPS: usize = 64;

/// What is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All shapes but those that repeat on each slide.
    Slide,
    /// Only what the speaker wrote.
    Notes,
}

/// Something that a slide shows.
pub(super) enum Piece {
    Text(BlockKind, String),
    Row {
        cells: Vec<String>,
        header: bool,
    },
    /// Of this relationship.
    Chart(String),
    /// Of this relationship.
    Diagram(String),
}

/// What the slide shows, in the order of reading; nothing for a hidden one.
pub(super) fn read(text: &str, part: Part) -> Result<Option<Vec<Piece>>, ExtractError> {
    let mut reader = Reader {
        part,
        hidden: false,
        alternatives: Alternatives::default(),
        groups: vec![Shape::default()],
        deep_groups: 0,
        shape: None,
        body: Body::default(),
        table: None,
        in_text: false,
        in_number: false,
    };
    xml::walk(text, |node| {
        reader.node(node);
        Ok(())
    })?;
    if reader.hidden {
        return Ok(None);
    }
    let mut shapes = mem::take(&mut reader.groups);
    Ok(Some(shapes.swap_remove(0).pieces()))
}

/// A shape, or a group of them.
#[derive(Default)]
struct Shape {
    role: Role,
    left_top: Option<(i64, i64)>,
    size: Option<(i64, i64)>,
    own: Vec<Piece>,
    inner: Vec<Shape>,
}

/// The place of the layout that a shape fills.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Role {
    #[default]
    Free,
    Title,
    Subtitle,
    /// Text in the layout's own list style.
    Body,
    /// A picture's or chart's place.
    Other,
    /// A slide number, date, header or footer.
    Margin,
}

impl Shape {
    fn area(&self) -> Option<Area> {
        let ((left, top), (width, height)) = (self.left_top?, self.size?);
        (width >= 0 && height >= 0).then_some(Area {
            left,
            top,
            width,
            height,
        })
    }

    /// All that it holds: titles first. Groups have been emptied into their own pieces by then.
    fn pieces(self) -> Vec<Piece> {
        let (titles, others): (Vec<Shape>, Vec<Shape>) = self
            .inner
            .into_iter()
            .partition(|shape| shape.role == Role::Title);
        let areas: Vec<Option<Area>> = others.iter().map(Shape::area).collect();
        let mut others: Vec<Option<Shape>> = others.into_iter().map(Some).collect();
        let ordered = reading_order(&areas);
        let ordered = ordered.into_iter().filter_map(|place| others[place].take());
        let mut pieces = self.own;
        for shape in titles.into_iter().chain(ordered.collect::<Vec<_>>()) {
            pieces.extend(shape.own);
        }
        pieces
    }
}

/// The text of a shape or cell.
#[derive(Default)]
struct Body {
    paragraphs: Vec<Paragraph>,
    open: Paragraph,
}

#[derive(Default)]
struct Paragraph {
    text: String,
    level: usize,
    bullet: Bullet,
}

#[derive(Clone, Default, PartialEq, Eq)]
enum Bullet {
    /// As the layout says.
    #[default]
    Inherited,
    None,
    Mark,
    /// The kind of number and the first one.
    Number(String, i64),
}

#[derive(Default)]
struct Table {
    first_row_names: bool,
    rows: usize,
    cells: Vec<String>,
    /// The open cell is covered by the one before it.
    covered: bool,
    pieces: Vec<Piece>,
}

struct Reader {
    part: Part,
    hidden: bool,
    alternatives: Alternatives,
    /// Open groups, the slide itself first.
    groups: Vec<Shape>,
    /// How many groups too deep to count are open.
    deep_groups: usize,
    shape: Option<Shape>,
    body: Body,
    table: Option<Table>,
    in_text: bool,
    /// Within a field that counts slides.
    in_number: bool,
}

impl Reader {
    fn node(&mut self, node: Node<'_>) {
        if self.alternatives.leave_out(&node) {
            return;
        }
        match node {
            Node::Start(name, start) => self.start(name, start),
            Node::End(name) => self.end(name),
            Node::Text(text) => {
                if self.in_text {
                    self.body.open.text.push_str(text);
                }
            }
        }
    }

    fn start(&mut self, name: &str, start: &BytesStart<'_>) {
        match name {
            "sld" => self.hidden = xml::attribute(start, "show").as_deref() == Some("0"),
            "grpSp" if self.groups.len() > MAX_GROUPS => self.deep_groups += 1,
            "grpSp" => self.groups.push(Shape::default()),
            "sp" | "graphicFrame" | "pic" | "cxnSp" => self.shape = Some(Shape::default()),
            "ph" => {
                let role = role(xml::attribute(start, "type").as_deref());
                if let Some(shape) = &mut self.shape {
                    shape.role = role;
                }
            }
            "off" | "ext" => self.place(name, start),
            "fld" => {
                let kind = xml::attribute(start, "type");
                self.in_number = kind.as_deref() == Some("slidenum");
            }
            "t" => self.in_text = !self.in_number,
            "br" => self.body.open.text.push('\n'),
            "p" => self.body.open = Paragraph::default(),
            "pPr" => {
                let level = xml::attribute(start, "lvl").and_then(|level| level.parse().ok());
                self.body.open.level = level.unwrap_or(0);
            }
            "buNone" => self.body.open.bullet = Bullet::None,
            "buChar" | "buBlip" => self.body.open.bullet = Bullet::Mark,
            "buAutoNum" => {
                let kind = xml::attribute(start, "type").unwrap_or_default();
                let first = xml::attribute(start, "startAt").and_then(|first| first.parse().ok());
                self.body.open.bullet = Bullet::Number(kind.into_owned(), first.unwrap_or(1));
            }
            "tbl" => self.table = Some(Table::default()),
            "tblPr" => {
                if let Some(table) = &mut self.table {
                    table.first_row_names = is_set(start, "firstRow");
                }
            }
            "tc" => {
                if let Some(table) = &mut self.table {
                    table.covered = is_set(start, "hMerge") || is_set(start, "vMerge");
                }
            }
            "chart" => {
                if let Some(id) = xml::prefixed(start, "id") {
                    self.send(Piece::Chart(id.into_owned()));
                }
            }
            "relIds" => {
                if let Some(id) = xml::prefixed(start, "dm") {
                    self.send(Piece::Diagram(id.into_owned()));
                }
            }
            _ => {}
        }
    }

    /// Notes where the innermost open shape lies; what is said of it first is meant.
    fn place(&mut self, name: &str, start: &BytesStart<'_>) {
        let number = |name| xml::attribute(start, name)?.parse::<i64>().ok();
        let open = self.shape.as_mut().or_else(|| self.groups.last_mut());
        let Some(shape) = open else { return };
        if name == "off" {
            let place = number("x").zip(number("y"));
            shape.left_top = shape.left_top.or(place);
        } else {
            let size = number("cx").zip(number("cy"));
            shape.size = shape.size.or(size);
        }
    }

    fn end(&mut self, name: &str) {
        match name {
            "fld" => self.in_number = false,
            "t" => self.in_text = false,
            "p" => {
                let paragraph = mem::take(&mut self.body.open);
                self.body.paragraphs.push(paragraph);
            }
            "tc" => {
                let text = mem::take(&mut self.body).joined();
                if let Some(table) = &mut self.table {
                    table
                        .cells
                        .push(if table.covered { String::new() } else { text });
                }
            }
            "tr" => {
                if let Some(table) = &mut self.table {
                    table.end_row();
                }
            }
            "tbl" => {
                for row in self.table.take().unwrap_or_default().pieces {
                    self.send(row);
                }
            }
            "txBody" if self.table.is_none() => self.end_body(),
            "sp" | "graphicFrame" | "pic" | "cxnSp" => {
                let (shape, group) = (self.shape.take(), self.groups.last_mut());
                if let (Some(shape), Some(group)) = (shape, group)
                    && shape.is_read(self.part)
                {
                    group.inner.push(shape);
                }
            }
            "grpSp" if self.deep_groups > 0 => self.deep_groups -= 1,
            "grpSp" if self.groups.len() > 1 => self.end_group(),
            _ => {}
        }
    }

    fn end_group(&mut self) {
        let Some(mut group) = self.groups.pop() else {
            return;
        };
        let inner = Shape {
            inner: mem::take(&mut group.inner),
            ..Shape::default()
        };
        group.own = inner.pieces();
        if let Some(around) = self.groups.last_mut() {
            around.inner.push(group);
        }
    }

    fn send(&mut self, piece: Piece) {
        if let Some(shape) = &mut self.shape {
            shape.own.push(piece);
        }
    }

    fn end_body(&mut self) {
        let body = mem::take(&mut self.body);
        let Some(shape) = &mut self.shape else { return };
        if shape.role != Role::Title {
            return shape.own.extend(body.pieces(shape.role == Role::Body));
        }
        let text = body.joined();
        if !text.trim().is_empty() {
            let kind = BlockKind::Heading { level: 1 };
            shape.own.push(Piece::Text(kind, text));
        }
    }
}

impl Shape {
    fn is_read(&self, part: Part) -> bool {
        match part {
            Part::Slide => self.role != Role::Margin,
            Part::Notes => self.role == Role::Body,
        }
    }
}

impl Table {
    fn end_row(&mut self) {
        let cells = mem::take(&mut self.cells);
        let filled = cells.iter().filter(|cell| !cell.trim().is_empty()).count();
        self.pieces.push(Piece::Row {
            header: self.first_row_names && self.rows == 0 && filled > 1,
            cells,
        });
        self.rows += 1;
    }
}

impl Body {
    fn joined(self) -> String {
        let texts: Vec<String> = self
            .paragraphs
            .into_iter()
            .map(|paragraph| paragraph.text)
            .collect();
        texts.join(" ")
    }

    /// Its paragraphs; where the layout makes lists, several of them are one.
    fn pieces(self, listed: bool) -> Vec<Piece> {
        let mut paragraphs = self.paragraphs;
        paragraphs.retain(|paragraph| !paragraph.text.trim().is_empty());
        let listed = listed && paragraphs.len() > 1;
        let mut counts = Counts::default();
        let piece = |paragraph: Paragraph| {
            let marker = match &paragraph.bullet {
                Bullet::Number(kind, first) => Some(counts.next(paragraph.level, kind, *first)),
                Bullet::Mark => Some("-".to_owned()),
                Bullet::Inherited => listed.then(|| "-".to_owned()),
                Bullet::None => None,
            };
            if !matches!(paragraph.bullet, Bullet::Number(..)) {
                counts.end(paragraph.level);
            }
            match marker {
                Some(marker) => {
                    Piece::Text(BlockKind::ListItem, format!("{marker} {}", paragraph.text))
                }
                None => Piece::Text(BlockKind::Paragraph, paragraph.text),
            }
        };
        paragraphs.into_iter().map(piece).collect()
    }
}

/// Levels of a list.
const LEVELS: usize = 9;

/// How far the numbered lists of a shape have counted, by level.
#[derive(Default)]
struct Counts([i64; LEVELS]);

impl Counts {
    /// The marker of the next item: `2.`, `(c)`, `IV)`.
    fn next(&mut self, level: usize, kind: &str, first: i64) -> String {
        let level = level.min(LEVELS - 1);
        self.0[level + 1..].fill(0);
        self.0[level] = self.0[level].saturating_add(1);
        let count = number(
            first.saturating_add(self.0[level] - 1),
            if kind.starts_with("alphaLc") {
                "lowerLetter"
            } else if kind.starts_with("alphaUc") {
                "upperLetter"
            } else if kind.starts_with("romanLc") {
                "lowerRoman"
            } else if kind.starts_with("romanUc") {
                "upperRoman"
            } else {
                "decimal"
            },
        );
        if kind.ends_with("ParenBoth") {
            format!("({count})")
        } else if kind.ends_with("ParenR") {
            format!("{count})")
        } else if kind.ends_with("Plain") {
            count
        } else {
            format!("{count}.")
        }
    }

    /// Ends the lists of this level and below.
    fn end(&mut self, level: usize) {
        self.0[level.min(LEVELS - 1)..].fill(0);
    }
}

fn role(kind: Option<&str>) -> Role {
    match kind {
        Some("title" | "ctrTitle") => Role::Title,
        Some("subTitle") => Role::Subtitle,
        None | Some("body" | "obj") => Role::Body,
        Some("sldNum" | "dt" | "ftr" | "hdr") => Role::Margin,
        Some(_) => Role::Other,
    }
}

fn is_set(start: &BytesStart<'_>, name: &str) -> bool {
    matches!(xml::attribute(start, name).as_deref(), Some("1" | "true"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_any_depth_are_read_in_time() {
        let shape = "<sp><txBody><p><r><t>text</t></r></p></txBody></sp>";
        let groups = format!("<grpSp>{shape}").repeat(2000);
        let slide = format!("<sld>{groups}{}{shape}</sld>", "</grpSp>".repeat(2000));
        let pieces = read(&slide, Part::Slide).expect("well formed");
        assert_eq!(pieces.map(|pieces| pieces.len()), Some(2001));
    }
}
