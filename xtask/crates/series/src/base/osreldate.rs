//! The version of a FreeBSD tree: `__FreeBSD_version` in sys/sys/param.h.

use kdk_core::failure::Failure;
use kdk_core::git::Git;

const PARAM_H: &str = "sys/sys/param.h";

/// Returns the `__FreeBSD_version` of `commit`, or `None` if it is no FreeBSD
/// tree. Does not check anything out.
pub fn read(git: &Git, commit: &str) -> Result<Option<u32>, Failure> {
    let spec = format!("{commit}:{PARAM_H}");
    let ran = git.run("read the tree's version", &["show", &spec])?;
    Ok(ran.ok.then(|| version(&ran.text())).flatten())
}

/// Returns the version that a param.h defines.
fn version(param_h: &str) -> Option<u32> {
    param_h.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        // "# define" is valid too.
        let directive = match words.next()? {
            "#" => words.next()?,
            word => word.strip_prefix('#')?,
        };
        if directive != "define" || words.next()? != "__FreeBSD_version" {
            return None;
        }
        words.next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, want) in [
            ("#define __FreeBSD_version 1501000\n", Some(1_501_000)),
            (
                "#undef __FreeBSD_version\n#define __FreeBSD_version 1100020\t/* Master */\n",
                Some(1_100_020),
            ),
            ("# define\t__FreeBSD_version\t1600004", Some(1_600_004)),
            ("#define __FreeBSD_version_x 1\n", None),
            ("#define __DragonFly_version 600400\n", None),
            ("", None),
        ] {
            assert_eq!(version(text), want, "{text:?}");
        }
    }
}
