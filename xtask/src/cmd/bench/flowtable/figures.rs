//! From walks to figures. Pure.

use super::notes::{Algorithm, Walk};

/// Something that one walk says.
pub type Quantity = fn(&Walk) -> f64;

/// Time, in ticks of the guest's counter.
pub fn time(walk: &Walk) -> f64 {
    walk.ticks as f64
}

/// The occupancies that there are, in percent, the least first.
pub fn percents(walks: &[Walk]) -> Vec<u64> {
    sorted(walks.iter().map(|walk| walk.percent))
}

/// The sizes of tables, the smallest first.
pub fn sizes(walks: &[Walk]) -> Vec<u64> {
    sorted(walks.iter().map(|walk| walk.size))
}

fn sorted(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// An algorithm's walks at an occupancy, the smallest table first.
pub fn series(walks: &[Walk], algorithm: Algorithm, percent: u64) -> Vec<&Walk> {
    let its = |walk: &&Walk| walk.algorithm == algorithm && walk.percent == percent;
    let mut walks: Vec<&Walk> = walks.iter().filter(its).collect();
    walks.sort_by_key(|walk| walk.size);
    walks
}

/// The walk of an algorithm at a size and an occupancy.
pub fn find(walks: &[Walk], algorithm: Algorithm, size: u64, percent: u64) -> Option<&Walk> {
    let is_it =
        |walk: &&Walk| (walk.algorithm, walk.size, walk.percent) == (algorithm, size, percent);
    walks.iter().find(is_it)
}

/// The power of the table's size with which a quantity grows: the slope of the
/// line through the logarithms of both that has the least squares. None for
/// fewer than two sizes, and for what is 0 once.
pub fn exponent(walks: &[&Walk], quantity: Quantity) -> Option<f64> {
    let points: Vec<(f64, f64)> = walks
        .iter()
        .map(|walk| ((walk.size as f64).ln(), quantity(walk).ln()))
        .collect();
    let count = points.len() as f64;
    let x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let y = points.iter().map(|point| point.1).sum::<f64>() / count;
    let square = points.iter().map(|point| (point.0 - x).powi(2));
    let product = points.iter().map(|point| (point.0 - x) * (point.1 - y));
    let slope = product.sum::<f64>() / square.sum::<f64>();
    slope.is_finite().then_some(slope)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// Walks over tables of 256 to 65536 buckets, half and all in use.
    pub fn sample() -> Vec<Walk> {
        let mut walks = Vec::new();
        for algorithm in Algorithm::ALL {
            for size in [256_u64, 4096, 65536] {
                for percent in [50, 100] {
                    let set = size * percent / 100;
                    let bytes = match algorithm {
                        Algorithm::Series => size / 8 + set * 4,
                        Algorithm::BitAtATime => set * size / 16,
                        Algorithm::Tree => size / 8 + 9,
                    };
                    walks.push(Walk {
                        algorithm,
                        size,
                        percent,
                        set,
                        visited: if algorithm == Algorithm::Tree { 9 } else { set },
                        visits: set,
                        bytes,
                        ticks: bytes * 16 + 400,
                    });
                }
            }
        }
        walks
    }

    #[test]
    fn walks_are_found() {
        let walks = sample();
        assert_eq!(percents(&walks), [50, 100]);
        assert_eq!(sizes(&walks), [256, 4096, 65536]);
        let series = series(&walks, Algorithm::Tree, 50);
        let told: Vec<_> = series.iter().map(|walk| (walk.size, walk.set)).collect();
        assert_eq!(told, [(256, 128), (4096, 2048), (65536, 32768)]);
        let found = find(&walks, Algorithm::Series, 4096, 100);
        assert_eq!(found.map(|walk| walk.bytes), Some(16896));
        assert_eq!(find(&walks, Algorithm::Series, 4096, 10), None);
    }

    #[test]
    fn powers_of_the_size_are_found_again() {
        let of = |ticks: &[u64]| {
            let walks: Vec<Walk> = ticks
                .iter()
                .zip([256, 512, 1024])
                .map(|(ticks, size)| Walk {
                    algorithm: Algorithm::Series,
                    size,
                    percent: 100,
                    set: size,
                    visited: size,
                    visits: size,
                    bytes: 0,
                    ticks: *ticks,
                })
                .collect();
            exponent(&walks.iter().collect::<Vec<_>>(), time)
                .map(|exponent| (exponent * 1000.0).round() / 1000.0)
        };
        for (ticks, wanted) in [
            (&[100, 200, 400][..], Some(1.0)),
            (&[100, 400, 1600], Some(2.0)),
            (&[7, 7, 7], Some(0.0)),
            (&[100, 200], Some(1.0)),
            (&[100, 300, 400], Some(1.0)),
            (&[100], None),
            (&[], None),
            (&[0, 1, 2], None),
        ] {
            assert_eq!(of(ticks), wanted, "{ticks:?}");
        }
    }
}
