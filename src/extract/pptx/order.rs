//! The order in which the shapes of a slide are read.
//!
//! A file's order is that of drawing, and mostly that of reading too: its author made the shapes one after the other. It is
//! left where it cannot be: no shape is read before one right above it, or one beside it on the left.

/// Slides of more shapes are maps and posters, which have no order.
const MAX_SHAPES: usize = 200;

/// Where a shape lies, in the file's units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) left: i64,
    pub(super) top: i64,
    pub(super) width: i64,
    pub(super) height: i64,
}

impl Area {
    const fn bottom(self) -> i64 {
        self.top.saturating_add(self.height)
    }

    const fn right(self) -> i64 {
        self.left.saturating_add(self.width)
    }

    /// Whether this one is read before the other: it ends above it in its column, or left of it in its row.
    fn leads(self, other: Self) -> bool {
        let above = self.bottom() <= other.top.saturating_add(other.height.min(self.height) / 4);
        let beside = self.right() <= other.left.saturating_add(other.width.min(self.width) / 4);
        let column = shares((self.left, self.right()), (other.left, other.right()));
        let row = shares((self.top, self.bottom()), (other.top, other.bottom()));
        above && column || beside && row && other.bottom() > self.top
    }
}

/// Whether two lengths have at least half of the shorter one in common.
fn shares(a: (i64, i64), b: (i64, i64)) -> bool {
    let common = a.1.min(b.1).saturating_sub(a.0.max(b.0));
    let shorter = a.1.saturating_sub(a.0).min(b.1.saturating_sub(b.0));
    common > 0 && common >= shorter / 2
}

/// The places of the shapes in the order of reading; shapes without an area stay where they are in the file.
pub(super) fn reading_order(areas: &[Option<Area>]) -> Vec<usize> {
    if areas.len() > MAX_SHAPES {
        return (0..areas.len()).collect();
    }
    let leads = |a: usize, b: usize| match (areas[a], areas[b]) {
        (Some(first), Some(second)) => first.leads(second),
        _ => false,
    };
    // How many unread shapes lead each one; nothing for those that have been read.
    let shapes = 0..areas.len();
    let leaders = |shape: usize| shapes.clone().filter(|other| leads(*other, shape)).count();
    let mut left: Vec<Option<usize>> = shapes.clone().map(|shape| Some(leaders(shape))).collect();
    let mut order = Vec::with_capacity(left.len());
    // Shapes that overlap in a circle come as in the file.
    while let Some(next) = left
        .iter()
        .position(|led| *led == Some(0))
        .or_else(|| left.iter().position(Option::is_some))
    {
        left[next] = None;
        order.push(next);
        for (shape, led) in left.iter_mut().enumerate() {
            if let Some(count) = led.as_mut().filter(|_| leads(next, shape)) {
                *count = count.saturating_sub(1);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn area([left, top, width, height]: [i64; 4]) -> Area {
        Area {
            left,
            top,
            width,
            height,
        }
    }

    fn order(areas: &[[i64; 4]]) -> Vec<usize> {
        let areas: Vec<_> = areas.iter().map(|edges| Some(area(*edges))).collect();
        reading_order(&areas)
    }

    #[test]
    fn columns_that_follow_each_other_stay() {
        let columns = [
            [0, 0, 40, 10],
            [0, 20, 40, 10],
            [50, 0, 40, 10],
            [50, 20, 40, 10],
        ];
        assert_eq!(order(&columns), [0, 1, 2, 3]);
    }

    #[test]
    fn a_title_that_was_drawn_last_comes_first() {
        let slide = [[0, 20, 40, 10], [50, 20, 40, 10], [0, 0, 90, 10]];
        assert_eq!(order(&slide), [2, 0, 1]);
    }

    #[test]
    fn a_row_drawn_from_the_right_is_read_from_the_left() {
        assert_eq!(order(&[[50, 0, 20, 10], [0, 1, 20, 10]]), [1, 0]);
    }

    #[test]
    fn shapes_without_a_place_and_shapes_on_one_another_stay() {
        let slide = [
            None,
            Some(area([0, 0, 50, 50])),
            Some(area([10, 10, 50, 50])),
            None,
        ];
        assert_eq!(reading_order(&slide), [0, 1, 2, 3]);
        let extremes = [[i64::MAX; 4], [i64::MIN, 0, i64::MAX, 1]];
        assert_eq!(order(&extremes).len(), 2);
    }
}
