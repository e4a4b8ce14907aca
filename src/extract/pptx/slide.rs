//! Reads a slide or its notes.

use std::mem;

use quick_xml::events::BytesStart;

use crate::document::BlockKind;

use super::{
    super::{
        drawing::Alternatives,
        error::ExtractError,
        xml::{self, Node},
    },
    shape::{Part, Piece, Role, Shape, role},
    text::{Body, Bullet, Paragraph},
};

/// Groups within groups beyond this are read as if their shapes were in the last one that counts: each level moves all that
/// it holds.
const MAX_GROUPS: usize = 64;

/// What the slide shows, in the order of reading; nothing for a hidden one. Of a damaged one it is what stands before the
/// damage, if anything does.
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
    let walked = xml::walk(text, |node| {
        reader.node(node);
        Ok(())
    });
    if reader.hidden {
        return walked.map(|()| None);
    }
    if walked.is_err() {
        reader.end_all();
    }
    let mut shapes = mem::take(&mut reader.groups);
    let pieces = shapes.swap_remove(0).pieces();
    if pieces.is_empty() {
        walked?;
    }
    Ok(Some(pieces))
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

    /// Ends what a damage left open, but for the paragraph and the row that it broke off in.
    fn end_all(&mut self) {
        if self.table.is_some() {
            self.end("tbl");
        } else {
            self.end_body();
        }
        self.end("sp");
        while self.groups.len() > 1 {
            self.end_group();
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
