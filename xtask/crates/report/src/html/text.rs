//! Text from a guest, and the style classes of verdicts.

use kdk_vm::verdict::Verdict;

/// Replaces control characters and changes of the writing direction by the
/// replacement character: they would be invisible, or change how other text is
/// shown. Newlines and tabs stay.
pub fn visible(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|c| if hidden(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Formats a time that may be long.
pub fn duration(ms: u64) -> String {
    match ms / 60_000 {
        0 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        minutes => format!("{minutes} min {} s", ms / 1000 % 60),
    }
}

/// Returns the style class of a verdict.
pub fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Skip => "skip",
        Verdict::Xfail => "xfail",
        Verdict::Xpass => "xpass",
        Verdict::Timeout => "timeout",
        Verdict::Crash => "crash",
        Verdict::NotRun => "not-run",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_times_have_minutes() {
        for (ms, want) in [
            (0, "0.0 s"),
            (59_999, "59.9 s"),
            (60_000, "1 min 0 s"),
            (3_725_999, "62 min 5 s"),
        ] {
            assert_eq!(duration(ms), want);
        }
    }

    #[test]
    fn invisible_characters_are_replaced() {
        for (text, want) in [
            ("plain ünï ✓\n\ttext", "plain ünï ✓\n\ttext"),
            ("\u{1b}[31mred\r\0", "\u{fffd}[31mred\u{fffd}\u{fffd}"),
            ("if \u{202e}eslaf\u{2069}", "if \u{fffd}eslaf\u{fffd}"),
        ] {
            assert_eq!(visible(text), want);
        }
    }
}
