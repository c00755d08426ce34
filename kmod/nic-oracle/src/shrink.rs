//! Reduction of a failing list of operations.

use alloc::vec::Vec;

/// Removes parts of `items` as long as `fails` returns true for the rest: parts
/// of half of the items, then of a quarter, and so on to single items (delta
/// debugging, Zeller 2002). It calls `fails` up to `tries` times.
pub fn shrink<T: Clone>(
    items: Vec<T>,
    tries: usize,
    mut fails: impl FnMut(&[T]) -> bool,
) -> Vec<T> {
    let mut kept = items;
    let mut left = tries;
    let mut size = kept.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut shrunk = false;
        while at < kept.len() {
            if left == 0 {
                return kept;
            }
            left -= 1;
            let end = kept.len().min(at + size);
            let fewer = [&kept[..at], &kept[end..]].concat();
            if fails(&fewer) {
                kept = fewer;
                shrunk = true;
            } else {
                at = end;
            }
        }
        // Single items are tried again: removing one may allow another.
        if size > 1 || !shrunk {
            size /= 2;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn what_matters_stays() {
        for (matter, items, tries, expected) in [
            (vec![3], (0..100).collect::<Vec<_>>(), 1000, vec![3]),
            (vec![0, 99], (0..100).collect(), 1000, vec![0, 99]),
            (vec![1, 2, 3], vec![1, 2, 3], 1000, vec![1, 2, 3]),
            (vec![], (0..100).collect(), 1000, vec![]),
            (vec![], vec![], 10, vec![]),
            (vec![7], vec![7, 8, 9], 0, vec![7, 8, 9]),
        ] {
            let fails = |kept: &[i32]| matter.iter().all(|item| kept.contains(item));
            assert_eq!(shrink(items, tries, fails), expected, "of {matter:?}");
        }
    }

    #[test]
    fn it_is_not_asked_too_often() {
        for tries in 0..40 {
            let mut asked = 0;
            shrink((0..64).collect(), tries, |kept| {
                asked += 1;
                kept.contains(&13) && kept.contains(&50)
            });
            assert!(asked <= tries, "{asked} of {tries}");
        }
    }

    #[test]
    fn pairs_go_one_after_the_other() {
        // An item can only be left out when all behind it are gone.
        let fails = |kept: &[i32]| {
            kept.iter()
                .copied()
                .eq(0..kept.len().try_into().unwrap_or(0))
        };
        assert_eq!(shrink((0..10).collect(), 1000, fails), vec![]);
    }
}
