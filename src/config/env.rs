//! Environment variables in string values: `${NAME}`, `${NAME:-default}`, and `$${` for a literal `${`.
//!
//! They are expanded after the TOML is parsed: a value can never break out of its string, and every span stays that of the file.

use std::borrow::Cow;

use super::value::Mistake;

/// How a variable is looked up; a function, so that a parse is pure in tests.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's own environment. A value that is not UTF-8 counts as not set.
pub fn of_process(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// `text` with its variables put in. A variable that is set but empty is empty; the default is for one that is not set.
pub(super) fn expand<'a>(text: &'a str, lookup: Lookup<'_>) -> Result<Cow<'a, str>, Mistake> {
    if !text.contains("${") {
        return Ok(Cow::Borrowed(text));
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            out.push_str(&rest[..at]);
            out.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let inner = &rest[at + 2..];
        let end = inner.find('}').ok_or_else(|| Mistake::new("`${` without a closing `}`").help("write `$${` for a literal `${`"))?;
        let (name, default) = match inner[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&inner[..end], None),
        };
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        {
            return Err(
                Mistake::new(format!("`{name}` is not the name of an environment variable")).help("write `${NAME}` or `${NAME:-default}`")
            );
        }
        match lookup(name).as_deref().or(default) {
            Some(value) => out.push_str(value),
            None => {
                let message = format!("the environment variable `{name}` is not set");
                return Err(Mistake::new(message).help(format!("set it, or give a default: `${{{name}:-default}}`")));
            }
        }
        rest = &inner[end + 1..];
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_defaults_and_escapes() {
        let lookup = |name: &str| match name {
            "HOST" => Some("10.0.0.1".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        };
        for (written, expected) in [
            ("plain $ { }", Ok("plain $ { }")),
            ("${HOST}:80", Ok("10.0.0.1:80")),
            ("${HOST}${HOST}", Ok("10.0.0.110.0.0.1")),
            ("${NONE:-x:-y}", Ok("x:-y")),
            ("${NONE:-}", Ok("")),
            ("[${EMPTY:-x}]", Ok("[]")),
            ("$${HOST} ${HOST}", Ok("${HOST} 10.0.0.1")),
            ("${NESTED}", Ok("${HOST}")),
            ("${NONE}", Err("the environment variable `NONE` is not set")),
            ("${HOST", Err("`${` without a closing `}`")),
            ("${}", Err("`` is not the name of an environment variable")),
            ("${A B}", Err("`A B` is not the name of an environment variable")),
            ("${1A}", Err("`1A` is not the name of an environment variable")),
        ] {
            let got = expand(written, &lookup);
            assert_eq!(got.as_deref().map_err(|mistake| mistake.message.as_str()), expected, "{written}");
        }
    }
}
