//! Recognizes the lines of backtraces and their headings.

/// Returns whether `text` is one frame of a backtrace: `func() at
/// func+0x1a/frame 0xfffffe00...` (ddb; older kernels put the arguments between
/// the parentheses), `#3 0xffffffff80... at func+0x1a` (stack(9)), or `--- trap
/// 0xc, rip = ... ---`.
pub fn is_frame(text: &str) -> bool {
    if let Some(rest) = text.strip_prefix("--- ") {
        let what = ["trap ", "syscall", "interrupt", "invalid trapframe"];
        return what.iter().any(|what| rest.starts_with(what));
    }
    if let Some(rest) = text.strip_prefix('#') {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        return digits > 0 && rest[digits..].starts_with(" 0x") && rest.contains(" at ");
    }
    text.split_once(") at ").is_some_and(|(call, place)| {
        is_call(call) && (place.contains("+0x") || place.contains("/frame 0x") || is_hex(place))
    })
}

/// Returns whether `text` is `func(` or `func(args`.
fn is_call(call: &str) -> bool {
    call.split_once('(').is_some_and(|(function, _)| {
        !function.is_empty() && !function.contains(char::is_whitespace)
    })
}

fn is_hex(place: &str) -> bool {
    place
        .strip_prefix("0x")
        .is_some_and(|hex| !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Returns whether `text` is the heading of a backtrace.
pub fn is_heading(text: &str) -> bool {
    text.starts_with("KDB: stack backtrace")
        || text == "stack backtrace:"
        || (text.starts_with("lock order ")
            && (text.ends_with(" attempted at:") || text.ends_with(" established at:")))
}

/// Returns the lock that a line such as ` 1st 0xfffff800 name (class) @
/// file.c:12` names, without its address.
pub fn lock(text: &str) -> Option<String> {
    let (ordinal, rest) = text.split_once(' ')?;
    if !["1st", "2nd", "3rd"].contains(&ordinal) || !rest.contains(" @ ") {
        return None;
    }
    let name = match rest.split_once(' ') {
        Some((address, name)) if address.starts_with("0x") => name,
        _ => rest,
    };
    Some(format!("{ordinal} {name}"))
}

/// Returns the lock that a line such as `exclusive sleep mutex name (class) r =
/// 0 (0xffffffff81a34378) locked @ file.c:12` names, without its address.
pub fn held_lock(text: &str) -> Option<String> {
    let kinds = ["exclusive ", "shared "];
    let known = kinds.iter().any(|kind| text.starts_with(kind));
    let (name, rest) = text.split_once(" r = ").filter(|_| known)?;
    let (_, place) = rest.split_once(" locked @ ")?;
    Some(format!("{name} locked @ {place}"))
}
