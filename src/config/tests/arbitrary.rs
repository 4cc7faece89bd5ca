//! Whatever is written: a result or a report, never a panic, and in bounded time.

use proptest::prelude::*;

use super::*;

/// Reads, and looks at all that comes of it.
fn survives(text: &str) {
    let report = match parse_pure(text) {
        Ok((config, warnings)) => {
            assert!(diff(&config, &config).is_empty());
            warnings
        }
        Err(report) => report,
    };
    let _ = (report.render(true), report.lines().count());
    for problem in report.problems() {
        let span = problem.span().unwrap_or(0..0);
        assert!(span.start <= span.end && span.end <= text.len(), "{}: {span:?} of {}", problem.message(), text.len());
    }
}

fn example() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just(include_str!("../../../config/routing.toml")),
        Just(include_str!("../../../config/production.toml")),
        Just(include_str!("../../../config/weighted.toml")),
        Just(MINIMAL),
    ]
}

/// What a careless hand, or a hostile one, puts into a file.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "[",
            "]",
            "[[",
            "{",
            "}",
            "\"",
            "'",
            "\"\"\"",
            "=",
            ",",
            ".",
            "\n",
            "\r\n",
            "\r",
            "#",
            "${",
            "$${X}",
            "*",
            "/*",
            "-",
            "0x",
            "1e9",
            "inf",
            "1979-05-27",
            "true",
            "\\u0000",
            "\\uD800",
            "\u{feff}",
            "\u{1f600}",
            "é",
            "%",
            "..",
            ":",
            "weight = ",
            "[[route]]\n",
            "[pool.x]\n",
            "[listen]\n",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
        any::<i64>().prop_map(|number| number.to_string()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn pieces_of_toml(pieces in prop::collection::vec(piece(), 0..40)) {
        survives(&pieces.concat());
    }

    #[test]
    fn examples_with_a_wound(text in example(), from in any::<prop::sample::Index>(), len in 0usize..30, put in piece()) {
        let mut from = from.index(text.len());
        while !text.is_char_boundary(from) { from -= 1; }
        let mut to = (from + len).min(text.len());
        while !text.is_char_boundary(to) { to -= 1; }
        survives(&format!("{}{put}{}", &text[..from], &text[to.max(from)..]));
    }

    #[test]
    fn examples_with_another_value(text in example(), line in any::<prop::sample::Index>(), value in piece()) {
        let lines: Vec<&str> = text.lines().collect();
        let chosen = line.index(lines.len());
        let edited: Vec<String> = lines.iter().enumerate().map(|(at, line)| match line.split_once('=') {
            Some((key, _)) if at == chosen => format!("{key}= {value}"),
            _ => (*line).to_owned(),
        }).collect();
        survives(&edited.join("\n"));
    }
}

/// How long this thread has had a processor: a machine that is busy with something else does not count.
fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn ten_thousand_routes_are_read_in_no_time() {
    let head = "[listen.a]\naddress = \"127.0.0.1:1\"\n[pool.app]\nbackends = [\"10.0.0.1:80\"]\n".to_owned();
    let apart = (0..10_000)
        .fold(head.clone(), |text, n| text + &format!("[[route]]\npool = \"app\"\nhost = \"h{n}.example\"\npath = \"/p{n}/*\"\n"));
    let alike = (0..10_000).fold(head, |text, n| text + &format!("[[route]]\npool = \"app\"\nheader = {{ x-tenant = \"{n}\" }}\n"));
    for text in [apart, alike] {
        let start = busy();
        let (config, warnings) = parse_pure(&text).unwrap();
        assert!(warnings.is_empty());
        assert_eq!(config.routes.len(), 10_000);
        // A bound that a loop over all pairs with an allocation each would break.
        let took = busy().saturating_sub(start);
        assert!(took < Duration::from_secs(20), "{took:?}");
    }
}

#[test]
fn noise_is_refused_in_time() {
    for noise in ["a\n", "[", "x = 1\n", "[[route]]\n", "a.", "\"", "[pool.a]\n", "k = [[[[[[[["] {
        let text = noise.repeat((1 << 18) / noise.len());
        let start = busy();
        let report = parse_pure(&text).unwrap_err();
        let _ = (report.render(false), report.lines().count());
        let took = busy().saturating_sub(start);
        assert!(took < Duration::from_secs(20), "{noise:?}: {took:?}");
    }
}
