//! What a slide is made of: shapes in groups, and the pieces that they show.

use crate::document::BlockKind;

use super::order::{Area, reading_order};

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

/// A shape, or a group of them.
#[derive(Default)]
pub(super) struct Shape {
    pub(super) role: Role,
    pub(super) left_top: Option<(i64, i64)>,
    pub(super) size: Option<(i64, i64)>,
    pub(super) own: Vec<Piece>,
    pub(super) inner: Vec<Shape>,
}

/// The place of the layout that a shape fills.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Role {
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
    pub(super) fn pieces(self) -> Vec<Piece> {
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

    pub(super) fn is_read(&self, part: Part) -> bool {
        match part {
            Part::Slide => self.role != Role::Margin,
            Part::Notes => self.role == Role::Body,
        }
    }
}

/// The place that a layout names so.
pub(super) fn role(kind: Option<&str>) -> Role {
    match kind {
        Some("title" | "ctrTitle") => Role::Title,
        Some("subTitle") => Role::Subtitle,
        None | Some("body" | "obj") => Role::Body,
        Some("sldNum" | "dt" | "ftr" | "hdr") => Role::Margin,
        Some(_) => Role::Other,
    }
}
