//! Names of virtual machines. A name carries the process that made it, so
//! that what a killed run left behind can be told from what others use. Pure.

/// Name number `number` of the process `pid`: 31 bytes at most, which old
/// kernels take, too.
pub fn of(pid: u32, number: u32) -> String {
    format!("kdk-{pid}-{number}")
}

/// The process that made `name`, if a kit did.
fn maker(name: &str) -> Option<u32> {
    let (pid, number) = name.strip_prefix("kdk-")?.split_once('-')?;
    let ours = of(pid.parse().ok()?, number.parse().ok()?) == name;
    ours.then(|| pid.parse().ok())?
}

/// Those of `names` that belong to nobody any more.
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
    fn names_are_short_and_tell_their_maker() {
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
