//! Names of virtual machines. A name contains the id of the process that
//! created the machine, so that the leftovers of a killed run can be
//! recognized. Pure.

/// Returns name number `number` of the process `pid`. It has at most 31 bytes,
/// which old kernels accept.
pub fn of(pid: u32, number: u32) -> String {
    format!("kdk-{pid}-{number}")
}

/// Returns the id of the kdk process that made `name`, if one did.
fn maker(name: &str) -> Option<u32> {
    let (pid, number) = name.strip_prefix("kdk-")?.split_once('-')?;
    let ours = of(pid.parse().ok()?, number.parse().ok()?) == name;
    ours.then(|| pid.parse().ok())?
}

/// Returns those of `names` whose process has ended.
pub fn leftovers(
    names: impl IntoIterator<Item = String>,
    is_alive: impl Fn(u32) -> bool,
) -> Vec<String> {
    let mut left: Vec<String> = names
        .into_iter()
        .filter(|name| maker(name).is_some_and(|pid| !is_alive(pid)))
        .collect();
    left.sort();
    left.dedup();
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_contain_their_process() {
        let longest = of(u32::MAX, u32::MAX);
        assert!(longest.len() <= 31, "{longest}");
        for (name, want) in [
            (longest.as_str(), Some(u32::MAX)),
            ("kdk-12-3", Some(12)),
            ("kdk-12", None),
            ("kdk-12-3-4", None),
            ("kdk-012-3", None),
            ("kdk--3", None),
            ("kdk-x-3", None),
            ("kdk-99999999999-1", None),
            ("freebsd-vm", None),
            ("", None),
        ] {
            assert_eq!(maker(name), want, "{name}");
        }
    }

    #[test]
    fn only_what_dead_processes_left_is_a_leftover() {
        let names = ["kdk-7-1", "vm0", "kdk-8-1", "kdk-7-2", "kdk-7-1"].map(str::to_owned);
        assert_eq!(leftovers(names, |pid| pid == 8), ["kdk-7-1", "kdk-7-2"]);
    }
}
