//! Samples: what tests report to the host in lines `LABEL: KEY=VALUE ...` of
//! their detail. Pure.

use std::collections::BTreeMap;

/// The words `KEY=VALUE` of a line.
pub struct Words<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Words<'a> {
    /// Returns the words of a text.
    pub fn of(text: &'a str) -> Self {
        let words = text.split_whitespace();
        Self(words.filter_map(|word| word.split_once('=')).collect())
    }

    /// Returns the value of a key.
    ///
    /// # Errors
    /// Fails when the key is missing.
    pub fn text(&self, key: &str) -> Result<&'a str, String> {
        let value = self.0.get(key).copied();
        value.ok_or_else(|| format!("{key} is missing"))
    }

    /// Returns the value of a key that is a number.
    ///
    /// # Errors
    /// Fails when the key is missing or its value is not a number.
    pub fn number(&self, key: &str) -> Result<u64, String> {
        let text = self.text(key)?;
        text.parse()
            .map_err(|_| format!("{key}={text} is not a number"))
    }

    /// Returns the values of keys that are numbers.
    fn numbers(&self, keys: &[&'static str]) -> Result<BTreeMap<&'static str, u64>, String> {
        let number = |key: &&'static str| Ok((*key, self.number(key)?));
        keys.iter().map(number).collect()
    }

    /// Returns the method that is named, of those in the table.
    pub fn method(&self, methods: Methods) -> Result<&'static str, String> {
        let word = self.text("method")?;
        let found = methods.iter().find(|(name, _)| *name == word);
        let unknown = || format!("method={word} is unknown");
        found.map(|(_, variant)| *variant).ok_or_else(unknown)
    }
}

/// Values of `method` and the variants that they stand for.
pub type Methods = &'static [(&'static str, &'static str)];

/// The lines that hold a test's samples.
pub struct Format {
    /// The label of a sample's line.
    pub label: &'static str,
    /// The numbers that each line has.
    pub keys: &'static [&'static str],
    /// The line with the test's configuration, if it has one.
    pub setup: Option<Setup>,
    /// The variants that a test compares, each of which has a sample. Without
    /// any, the variants are kernels.
    pub methods: Methods,
}

/// The line with a test's configuration.
pub struct Setup {
    /// The label of the line.
    pub label: &'static str,
    /// The numbers that belong to each sample of the test, and the keys that
    /// they get there.
    pub keys: &'static [(&'static str, &'static str)],
    /// Describes the configuration.
    pub describe: fn(&Words<'_>) -> Result<String, String>,
}

/// The result of one measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The label of its line.
    pub label: &'static str,
    /// The name of the test.
    pub test: String,
    /// The variant that was measured.
    pub variant: &'static str,
    /// The numbers by their keys.
    pub values: BTreeMap<&'static str, u64>,
}

impl Sample {
    /// Returns a number of the sample.
    pub fn get(&self, key: &str) -> f64 {
        self.int(key) as f64
    }

    /// Returns a number of the sample as an integer.
    pub fn int(&self, key: &str) -> u64 {
        self.values.get(key).copied().unwrap_or(0)
    }
}

impl Format {
    /// Returns the samples of a test that ran on the kernel `kernel`, and the
    /// description of its configuration.
    ///
    /// # Errors
    /// Says which line or number is missing or malformed.
    pub fn parse(
        &self,
        test: &str,
        kernel: &'static str,
        detail: &str,
    ) -> Result<(Vec<Sample>, Option<String>), String> {
        let (mut shared, mut about) = (BTreeMap::new(), None);
        if let Some(setup) = &self.setup {
            let words = lines(detail, setup.label).next();
            let words = words.ok_or_else(|| missing(setup.label))?;
            about = Some((setup.describe)(&words)?);
            for (key, name) in setup.keys {
                shared.insert(*name, words.number(key)?);
            }
        }
        let sample = |words: Words<'_>| {
            let mut values = words.numbers(self.keys)?;
            values.extend(shared.clone());
            let variant = match self.methods {
                [] => kernel,
                methods => words.method(methods)?,
            };
            let (label, test) = (self.label, test.to_owned());
            Ok(Sample {
                label,
                test,
                variant,
                values,
            })
        };
        let samples = lines(detail, self.label).map(sample);
        let samples = samples.collect::<Result<Vec<Sample>, String>>()?;
        for (_, method) in self.methods {
            if !samples.iter().any(|sample| sample.variant == *method) {
                return Err(format!("{method} was not measured"));
            }
        }
        match samples.is_empty() {
            true => Err(missing(self.label)),
            false => Ok((samples, about)),
        }
    }
}

fn missing(label: &str) -> String {
    format!("no line `{label}:` was reported")
}

/// Returns the lines with this label.
fn lines<'a>(detail: &'a str, label: &'a str) -> impl Iterator<Item = Words<'a>> {
    detail
        .lines()
        .filter_map(move |line| line.strip_prefix(label)?.strip_prefix(": ").map(Words::of))
}

/// The key that stands for a sample's test.
pub const TEST: &str = "test";

/// Samples that have something in common.
#[derive(Debug, Clone)]
pub struct Group<'a>(pub Vec<&'a Sample>);

impl<'a> Group<'a> {
    /// Returns the samples with this label.
    pub fn of(samples: &'a [Sample], label: &str) -> Self {
        Self(samples.iter().filter(|s| s.label == label).collect())
    }

    /// Returns those of the samples that `is_in` selects.
    pub fn filter(&self, is_in: impl Fn(&Sample) -> bool) -> Self {
        Self(self.0.iter().copied().filter(|s| is_in(s)).collect())
    }

    /// Returns the samples of a variant.
    pub fn variant(&self, variant: &str) -> Self {
        self.filter(|sample| sample.variant == variant)
    }

    /// Returns a group for each value of a key, smallest first, or for each
    /// test in the order in which they ran.
    pub fn split(&self, key: &str) -> Vec<Self> {
        if key == TEST {
            let mut groups: Vec<Self> = Vec::new();
            for sample in &self.0 {
                let of_test = |group: &&mut Self| group.0.iter().any(|s| s.test == sample.test);
                match groups.iter_mut().find(of_test) {
                    Some(group) => group.0.push(sample),
                    None => groups.push(Self(vec![sample])),
                }
            }
            return groups;
        }
        let mut groups = BTreeMap::<u64, Vec<&Sample>>::new();
        for sample in &self.0 {
            groups.entry(sample.int(key)).or_default().push(sample);
        }
        groups.into_values().map(Self).collect()
    }

    /// Returns a group for each combination of the keys' values.
    pub fn cases(&self, keys: &[&str]) -> Vec<Self> {
        let mut groups = vec![self.clone()];
        for key in keys {
            groups = groups.iter().flat_map(|group| group.split(key)).collect();
        }
        groups.retain(|group| !group.0.is_empty());
        groups
    }

    /// Returns the smallest and the largest value of a key.
    pub fn range(&self, key: &str) -> (u64, u64) {
        let values = || self.0.iter().map(|sample| sample.int(key));
        (values().min().unwrap_or(0), values().max().unwrap_or(0))
    }

    /// Replaces `{test}`, and `{KEY}` and `{KEY.last}` by the smallest and the
    /// largest value of each key.
    pub fn fill(&self, template: &str) -> String {
        let Some(first) = self.0.first() else {
            return template.to_owned();
        };
        let mut text = template.replace("{test}", &first.test);
        for key in first.values.keys() {
            let (least, most) = self.range(key);
            text = text.replace(&format!("{{{key}}}"), &least.to_string());
            text = text.replace(&format!("{{{key}.last}}"), &most.to_string());
        }
        text
    }
}

/// Builders of samples for tests.
#[cfg(test)]
pub mod tests {
    use super::*;

    /// Returns a sample with these numbers.
    pub fn sample(
        label: &'static str,
        test: &str,
        variant: &'static str,
        values: &[(&'static str, u64)],
    ) -> Sample {
        Sample {
            label,
            test: test.into(),
            variant,
            values: values.iter().copied().collect(),
        }
    }

    const WALK: Format = Format {
        label: "walk",
        keys: &["size", "ticks"],
        setup: None,
        methods: &[],
    };

    #[test]
    fn lines_are_found_by_label_and_read_by_key() {
        let detail = "walk: size=8 kind=x ticks=1\nwalker: size=9\nwalk: size=9 ticks=2\n";
        let (samples, about) = WALK.parse("a/b", "series", detail).unwrap();
        assert_eq!(about, None);
        assert_eq!(
            samples,
            [(8, 1), (9, 2)].map(|(size, ticks)| sample(
                "walk",
                "a/b",
                "series",
                &[("size", size), ("ticks", ticks)]
            ))
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        for (detail, why) in [
            ("", "no line `walk:` was reported"),
            ("walk: size=256", "ticks is missing"),
            ("walk: size=many", "size=many is not a number"),
        ] {
            assert_eq!(WALK.parse("a/b", "series", detail).unwrap_err(), why);
        }
    }

    #[test]
    fn groups_are_split_by_keys_and_tests() {
        let all: Vec<Sample> = [("a/y", 9), ("a/x", 8), ("a/y", 8)]
            .map(|(test, size)| sample("walk", test, "series", &[("size", size)]))
            .into();
        let group = Group::of(&all, "walk");
        let shapes = |keys: &[&str]| -> Vec<usize> {
            group
                .cases(keys)
                .iter()
                .map(|group| group.0.len())
                .collect()
        };
        assert_eq!(shapes(&[]), [3]);
        assert_eq!(shapes(&["size"]), [2, 1]);
        assert_eq!(shapes(&[TEST]), [2, 1]);
        assert_eq!(shapes(&[TEST, "size"]), [1, 1, 1]);
        assert_eq!(group.fill("{test}: {size} to {size.last}"), "a/y: 8 to 9");
        assert!(Group::of(&all, "run").cases(&[]).is_empty());
    }
}
