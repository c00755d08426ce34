//! The subject line of a commit or of a patch.

/// Returns why `subject` is longer than `limit`, if it is.
pub fn too_long(subject: &str, limit: usize) -> Option<String> {
    let length = subject.chars().count();
    (length > limit).then(|| format!("a subject of {length} characters, the limit is {limit}"))
}
