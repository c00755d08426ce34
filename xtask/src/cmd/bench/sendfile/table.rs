//! The figures for people. Pure.

use super::figures::{calls, cpu, p50, p99, throughput, worker_cpu};
use super::notes::{Calls, Case, Method};
use crate::cmd::bench::clock::Clock;
use crate::cmd::bench::ratio;
use kdk_core::columns::columns;

/// A line for each method of each case; the ratios say how often SF_KQUEUE has
/// what the line's method has.
pub fn cases(cases: &[Case], clock: Clock) -> Vec<String> {
    let unit = match clock {
        Clock::Time => "ns",
        Clock::Instructions(_) => "insn",
    };
    let head = [
        "test".to_owned(),
        "method".into(),
        "MiB/s".into(),
        "ratio".into(),
        format!("{unit}/byte"),
        "ratio".into(),
        "worker's".into(),
        "calls/MiB".into(),
        "reuse p50 ms".into(),
        "p99 ms".into(),
        "buffers".into(),
    ];
    let mut rows = vec![head.to_vec()];
    for case in cases {
        for method in Method::ALL {
            let of = |quantity| case.median(method, quantity);
            let ratio = |quantity| format!("{:.2}", case.ratio(quantity, Method::Kqueue, method));
            rows.push(vec![
                case.name.clone(),
                method.name().into(),
                format!("{:.2}", of(throughput) / f64::from(1 << 20)),
                ratio(throughput),
                format!("{:.3}", clock.of_ns(of(cpu))),
                ratio(cpu),
                format!("{:.3}", clock.of_ns(of(worker_cpu))),
                format!("{:.1}", of(calls)),
                format!("{:.3}", of(p50)),
                format!("{:.3}", of(p99)),
                format!("{:.0}", of(|run| run.buffers as f64)),
            ]);
        }
    }
    columns(&rows)
}

/// Calls without the flag on both kernels.
pub fn calls_of_both(with: &[Calls], without: &[Calls], clock: Clock) -> Vec<String> {
    let head = ["bytes", "without", "with", "ratio"].map(str::to_owned);
    let mut rows = vec![head.to_vec()];
    for (with, without) in with.iter().zip(without) {
        let told = |ticks: u64| format!("{:.0}", clock.of_ns(ticks as f64));
        rows.push(vec![
            with.length.to_string(),
            told(without.median),
            told(with.median),
            format!("{:.4}", ratio(with.median, without.median)),
        ]);
    }
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::{sample, setup};
    use super::super::notes::Pace;
    use super::*;

    #[test]
    fn the_tables() {
        let rounds = [[80_000_000, 10_000_000, 90_000_000]; 3];
        let case = sample("bench/free-64", setup(Pace::Free, 64 << 10), &rounds);
        let call = |length, median| Calls {
            length,
            median,
            sum: 0,
        };
        let mut lines = cases(std::slice::from_ref(&case), Clock::Instructions(8));
        lines.extend(cases(&[case], Clock::Time));
        lines.extend(calls_of_both(
            &[call(1, 80_800), call(4096, 90_000)],
            &[call(1, 80_000), call(4096, 90_000)],
            Clock::Instructions(8),
        ));
        insta::assert_snapshot!(lines.join("\n"));
    }
}
