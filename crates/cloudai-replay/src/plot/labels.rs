//! Names beside points, so that no name covers another one or a point. Comes in: points and names. Goes out: where each name stands. It tries
//! places around each point in a fixed order, near ones first, and takes the first that is free; who has none stands where it overlaps.

use super::Panel;
use crate::svg::Anchor;

const LINE: f64 = 13.0;
/// An upper bound for the mean width of a letter at 11 pixels.
const LETTER: f64 = 6.6;
const GAP: f64 = 9.0;
/// Columns further away, in pixels.
const FAR: [f64; 3] = [40.0, 90.0, 150.0];

/// A point that wants its name beside it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub at: (f64, f64),
    pub name: &'a str,
    /// Chooses its place before the others.
    pub is_first: bool,
}

/// Where a name stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Placed {
    pub at: (f64, f64),
    pub anchor: Anchor,
    /// So far from its point that a line has to lead there.
    pub is_far: bool,
}

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

/// One place per point, in the order of the points.
pub fn place(panel: &Panel, points: &[Named<'_>]) -> Vec<Placed> {
    let dot = |(x, y): (f64, f64)| Area { left: x - 7.0, right: x + 7.0, top: y - 7.0, bottom: y + 7.0 };
    let mut taken: Vec<Area> = points.iter().map(|point| dot(point.at)).collect();
    let mut placed = vec![None; points.len()];
    let (first, others): (Vec<usize>, Vec<usize>) = (0..points.len()).partition(|place| points[*place].is_first);
    for point in first.into_iter().chain(others) {
        let Named { at, name, .. } = points[point];
        let width = name.chars().count() as f64 * LETTER;
        let is_free = |area: &Area| area.within(panel) && !taken.iter().any(|other| other.meets(area));
        let free = around(at).find(|place| is_free(&area(place, width)));
        let chosen = free.unwrap_or(Placed { at: (at.0 + GAP, at.1 + 4.0), anchor: Anchor::Start, is_far: false });
        taken.push(area(&chosen, width));
        placed[point] = Some(chosen);
    }
    placed.into_iter().flatten().collect()
}

/// Beside it, above and below, and then further away.
fn around((x, y): (f64, f64)) -> impl Iterator<Item = Placed> {
    let rows = [0.0, -1.0, 1.0, -2.0, 2.0, -3.0, 3.0, -4.0, 4.0, -5.0, 5.0, -6.0, 6.0];
    let base = move |row: f64| y + 4.0 + row * LINE;
    let near = rows[..3].iter().flat_map(move |row| {
        let place = |x, anchor| Placed { at: (x, base(*row)), anchor, is_far: false };
        [place(x + GAP, Anchor::Start), place(x - GAP, Anchor::End), place(x, Anchor::Middle)]
    });
    let near: Vec<Placed> = near.collect();
    let far = FAR.into_iter().flat_map(move |away| {
        rows.into_iter().flat_map(move |row| {
            let place = |x, anchor| Placed { at: (x, base(row)), anchor, is_far: true };
            [place(x + away, Anchor::Start), place(x - away, Anchor::End)]
        })
    });
    near.into_iter().chain(far)
}

fn area(place: &Placed, width: f64) -> Area {
    let (x, base) = place.at;
    let left = match place.anchor {
        Anchor::Start => x,
        Anchor::Middle => x - width / 2.0,
        Anchor::End => x - width,
    };
    Area { left, right: left + width, top: base - LINE + 2.0, bottom: base + 3.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_points_that_lie_close_together_do_not_cover_each_other() {
        let panel = Panel { left: 0.0, right: 600.0, top: 0.0, bottom: 300.0 };
        let point = |i: i32| Named {
            at: (300.0 + f64::from(i) * 3.0, 150.0 + f64::from(i % 2) * 5.0),
            name: "aged_area:width=1",
            is_first: false,
        };
        let points: Vec<Named<'_>> = (0..12).map(point).collect();
        let placed = place(&panel, &points);
        let areas: Vec<Area> = placed.iter().map(|place| area(place, 17.0 * LETTER)).collect();
        assert_eq!(areas.len(), 12);
        for (at, a) in areas.iter().enumerate() {
            assert!(a.within(&panel));
            assert!(areas[..at].iter().all(|b| !a.meets(b)), "{at}: {placed:?}");
        }
        assert_eq!(place(&panel, &points), placed, "the same places each time");
    }

    #[test]
    fn who_is_first_takes_the_best_place() {
        let panel = Panel { left: 0.0, right: 300.0, top: 0.0, bottom: 300.0 };
        let anchors = |first: usize| {
            let point = |i| Named { at: (150.0, 150.0), name: "sjf", is_first: i == first };
            place(&panel, &[point(0), point(1)]).into_iter().map(|place| place.anchor).collect::<Vec<_>>()
        };
        assert_eq!(anchors(0), [Anchor::Start, Anchor::End]);
        assert_eq!(anchors(1), [Anchor::End, Anchor::Start]);
    }

    #[test]
    fn where_nothing_is_free_a_name_still_stands_beside_its_point() {
        let panel = Panel { left: 0.0, right: 20.0, top: 0.0, bottom: 20.0 };
        let placed = place(&panel, &[Named { at: (10.0, 10.0), name: "aged_area", is_first: false }]);
        assert_eq!(placed, [Placed { at: (19.0, 14.0), anchor: Anchor::Start, is_far: false }]);
    }
}
