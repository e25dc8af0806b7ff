//! Names beside points, so that no name covers another one or a point. Comes in: points and names. Goes out: where each name stands. It tries
//! some places around each point in a fixed order and takes the first that is free; who has none goes where it overlaps.

use super::Panel;
use crate::svg::Anchor;

const LINE: f64 = 12.0;
/// An upper bound for the mean width of a letter at 11 pixels.
const LETTER: f64 = 6.2;
const GAP: f64 = 7.0;

/// Where a name stands.
pub type Placed = ((f64, f64), Anchor);

#[derive(Clone, Copy)]
struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    fn meets(&self, other: &Area) -> bool {
        self.left < other.right && other.left < self.right && self.top < other.bottom && other.top < self.bottom
    }

    fn within(&self, panel: &Panel) -> bool {
        self.left >= panel.left && self.right <= panel.right && self.top >= panel.top && self.bottom <= panel.bottom
    }
}

pub fn place(panel: &Panel, points: &[((f64, f64), &str)]) -> Vec<Placed> {
    let dot = |(x, y): (f64, f64)| Area { left: x - 4.0, right: x + 4.0, top: y - 4.0, bottom: y + 4.0 };
    let mut taken: Vec<Area> = points.iter().map(|(at, _)| dot(*at)).collect();
    let mut placed = vec![];
    for (at, name) in points {
        let width = name.chars().count() as f64 * LETTER;
        let choices: Vec<(Placed, Area)> = around(*at).map(|place| (place, area(place, width))).collect();
        let is_free = |area: &Area| area.within(panel) && !taken.iter().any(|other| other.meets(area));
        let chosen = choices.iter().find(|(_, area)| is_free(area)).or(choices.first());
        if let Some((place, area)) = chosen {
            taken.push(*area);
            placed.push(*place);
        }
    }
    placed
}

/// Beside it, above, below, and then further up and down.
fn around((x, y): (f64, f64)) -> impl Iterator<Item = Placed> {
    let rows = [0.0, -1.0, 1.0, -2.0, 2.0, -3.0, 3.0];
    rows.into_iter().flat_map(move |row| {
        let base = y + 4.0 + row * LINE;
        [((x + GAP, base), Anchor::Start), ((x - GAP, base), Anchor::End), ((x, base), Anchor::Middle)]
    })
}

fn area(((x, base), anchor): Placed, width: f64) -> Area {
    let left = match anchor {
        Anchor::Start => x,
        Anchor::Middle => x - width / 2.0,
        Anchor::End => x - width,
    };
    Area { left, right: left + width, top: base - LINE + 2.0, bottom: base + 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_points_that_lie_close_together_do_not_cover_each_other() {
        let panel = Panel { left: 0.0, right: 400.0, top: 0.0, bottom: 300.0 };
        let points: Vec<((f64, f64), &str)> =
            (0..6).map(|i| ((200.0 + f64::from(i) * 3.0, 150.0 + f64::from(i % 2) * 5.0), "aged_area")).collect();
        let placed = place(&panel, &points);
        let areas: Vec<Area> = placed.iter().map(|place| area(*place, 9.0 * LETTER)).collect();
        assert_eq!(areas.len(), 6);
        for (at, a) in areas.iter().enumerate() {
            assert!(a.within(&panel));
            assert!(areas[..at].iter().all(|b| !a.meets(b)), "{at}: {placed:?}");
        }
        assert_eq!(place(&panel, &points), placed, "the same places each time");
    }
}
