//! Chooses the kernels of a round: as evenly spaced as possible, and away from
//! those that were skipped.

/// Returns up to `width` of the positions `open`, which are between `lo` and
/// `hi`, sorted. `skipped` are the positions between them that were skipped.
///
/// Without skips the positions divide the suspects into `width` + 1 parts, so
/// the largest part has ceil(suspects / (width + 1)).
pub fn choose(lo: usize, hi: usize, open: &[usize], skipped: &[usize], width: usize) -> Vec<usize> {
    let suspects = hi - lo;
    let parts = width + 1;
    let mut chosen: Vec<usize> = Vec::new();
    for part in 1..=width {
        // Positions and distances are in units of 1 / parts. A position is worth
        // the more, the nearer it is to the ideal one.
        let ideal = suspects * part;
        let worth = |at: usize| {
            let distance = ((at - lo) * parts).abs_diff(ideal);
            let near = suspects.saturating_sub(distance) as f64;
            near * clearance(at, skipped, suspects, parts)
        };
        let free = open.iter().copied().filter(|at| !chosen.contains(at));
        let best = free
            .map(|at| (worth(at), at))
            .filter(|(worth, _)| *worth > 0.0)
            // The lower position of two that are equal.
            .max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        chosen.extend(best.map(|(_, at)| at));
    }
    if chosen.is_empty() {
        chosen.extend(open.first());
    }
    chosen.sort_unstable();
    chosen
}

/// Returns how far a position is from the skipped ones, from 0 to 1. What broke
/// the build of a kernel most often breaks that of its neighbours.
fn clearance(at: usize, skipped: &[usize], suspects: usize, parts: usize) -> f64 {
    let distance = skipped.iter().map(|skip| at.abs_diff(*skip)).min();
    let enough = (suspects as f64 / (2 * parts) as f64).max(1.0);
    distance.map_or(1.0, |distance| (distance as f64 / enough).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(lo: usize, hi: usize) -> Vec<usize> {
        (lo + 1..hi).collect()
    }

    #[test]
    fn points_divide_the_suspects() {
        for (lo, hi, width, want) in [
            (0, 2, 1, vec![1]),
            (0, 100, 1, vec![50]),
            (10, 13, 1, vec![11]),
            (0, 99, 2, vec![33, 66]),
            (0, 3, 2, vec![1, 2]),
            (0, 3, 5, vec![1, 2]),
            (0, 2, 4, vec![1]),
            (0, 100, 4, vec![20, 40, 60, 80]),
        ] {
            let got = choose(lo, hi, &all(lo, hi), &[], width);
            assert_eq!(got, want, "{lo}..{hi} by {width}");
        }
    }

    #[test]
    fn no_part_is_larger_than_its_share() {
        for suspects in 2..200_usize {
            for width in 1..6 {
                let mut ends = vec![0];
                ends.extend(choose(0, suspects, &all(0, suspects), &[], width));
                ends.push(suspects);
                let widest = ends.windows(2).map(|two| two[1] - two[0]).max().unwrap();
                assert!(
                    widest <= suspects.div_ceil(width + 1),
                    "{suspects} by {width}"
                );
            }
        }
    }

    #[test]
    fn skipped_ranges_are_avoided() {
        let mut skipped = Vec::new();
        let mut order = Vec::new();
        for _ in 0..5 {
            let open: Vec<usize> = all(0, 100)
                .into_iter()
                .filter(|at| !skipped.contains(at))
                .collect();
            let at = choose(0, 100, &open, &skipped, 1)[0];
            order.push(at);
            skipped.push(at);
        }
        assert_eq!(order, [50, 25, 75, 38, 62]);
    }

    #[test]
    fn the_last_open_point_is_chosen_however_far_it_is() {
        assert_eq!(choose(0, 100, &[1], &[], 1), [1]);
        let skipped: Vec<usize> = (1..99).collect();
        assert_eq!(choose(0, 100, &[99], &skipped, 2), [99]);
    }
}
