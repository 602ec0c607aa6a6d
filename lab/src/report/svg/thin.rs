//! Draws as few points as one sees the same with: of a pixel column the least and the greatest, of dots on one place a single one.
//! Invariant: no extreme is lost, and the order stays. Bound: two points a column and the ends.

use std::collections::BTreeSet;

/// A point in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spot {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// Of `spots`, in the order of x, those that show their outline in columns of `column` pixels.
pub(super) fn outline(spots: &[Spot], column: f64) -> Vec<Spot> {
    let of = |spot: &Spot| (spot.x / column).floor();
    let mut thin: Vec<Spot> = Vec::new();
    for group in spots.chunk_by(|one, other| of(one) == of(other)) {
        let by_y = |one: &(usize, &Spot), other: &(usize, &Spot)| one.1.y.total_cmp(&other.1.y);
        let least = group.iter().enumerate().min_by(by_y).map(|(index, _)| index);
        let greatest = group.iter().enumerate().max_by(by_y).map(|(index, _)| index);
        let mut kept = BTreeSet::from_iter([least, greatest].into_iter().flatten());
        if group.len() <= 2 {
            kept.extend(0..group.len());
        }
        thin.extend(kept.into_iter().filter_map(|index| group.get(index)));
    }
    // Lines begin and end where the data does.
    for (end, place) in [(spots.first(), 0), (spots.last(), usize::MAX)] {
        let Some(end) = end else { continue };
        if !thin.contains(end) {
            thin.insert(place.min(thin.len()), *end);
        }
    }
    thin
}

/// Of `spots` one for each square of `size` pixels, and at most `most` of them, evenly taken.
pub(super) fn scattered(spots: &[Spot], size: f64, most: usize) -> Vec<Spot> {
    let mut taken = BTreeSet::new();
    let is_new = |spot: &&Spot| taken.insert(((spot.x / size) as i64, (spot.y / size) as i64));
    let apart: Vec<Spot> = spots.iter().filter(is_new).copied().collect();
    let every = apart.len().div_ceil(most.max(1)).max(1);
    apart.into_iter().step_by(every).collect()
}

/// Of `spots`, in the order of x, those that are `apart` pixels from the one before.
pub(super) fn spaced(spots: &[Spot], apart: f64, offset: f64) -> Vec<Spot> {
    let mut next = spots.first().map_or(0.0, |spot| spot.x) + offset;
    let mut kept = Vec::new();
    for spot in spots {
        if spot.x >= next {
            next = spot.x + apart;
            kept.push(*spot);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::{Spot, outline};

    #[test]
    fn a_thin_line_keeps_its_ends_and_the_extremes_of_every_column() {
        let spots: Vec<Spot> =
            (0..10_000).map(|i| Spot { x: f64::from(i) / 100.0, y: f64::from((i * 7919) % 1000) }).collect();
        let thin = outline(&spots, 1.0);
        assert!(thin.len() <= 202, "{}", thin.len());
        assert_eq!((thin.first(), thin.last()), (spots.first(), spots.last()));
        for column in 0..100 {
            let extreme = |spots: &[Spot]| {
                let of = spots.iter().filter(|spot| spot.x as i32 == column).map(|spot| spot.y);
                (of.clone().fold(f64::INFINITY, f64::min), of.fold(0.0, f64::max))
            };
            assert_eq!(extreme(&thin), extreme(&spots));
        }
        assert!(thin.is_sorted_by(|one, other| one.x <= other.x));
    }
}
