//! The Prometheus text format, for what the exporter does not render: histograms, and gauges read at the moment of a scrape.

use std::fmt::{Display, Write};

use super::names::{Kind, Metric};

/// A label's name and its value, not yet escaped.
pub type Label<'a> = (&'static str, &'a str);

/// Begins a family. All its samples follow before the next one begins.
pub fn family(page: &mut String, metric: Metric) {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let _ = writeln!(page, "# HELP {0} {1}\n# TYPE {0} {kind}", metric.name, metric.help);
}

/// One sample. `suffix` is `_bucket`, `_sum`, `_count` or empty.
pub fn sample(page: &mut String, metric: Metric, suffix: &str, labels: &[Label<'_>], value: impl Display) {
    page.push_str(metric.name);
    page.push_str(suffix);
    for (at, (name, value)) in labels.iter().enumerate() {
        page.push(if at == 0 { '{' } else { ',' });
        page.push_str(name);
        page.push_str("=\"");
        escape(page, value);
        page.push('"');
    }
    if !labels.is_empty() {
        page.push('}');
    }
    let _ = writeln!(page, " {value}");
}

/// A label value escapes backslash, quote and line feed, and nothing else.
fn escape(page: &mut String, value: &str) {
    for char in value.chars() {
        match char {
            '\\' => page.push_str("\\\\"),
            '"' => page.push_str("\\\""),
            '\n' => page.push_str("\\n"),
            plain => page.push(plain),
        }
    }
}
