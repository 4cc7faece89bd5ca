//! What a pool does where a try came to nothing, or where no backend has a slot: `retry` and `queue`.

use super::super::file::Section;
use super::super::model::{Queue, Reason, Retry};
use super::super::report::Problem;

pub(super) fn retry(pool: &Section<'_>, place: &str) -> Retry {
    let section = pool.table("retry", place);
    let mut on = Vec::new();
    for reason in section.words("on", Reason::of) {
        if on.contains(&reason.value) {
            section.note(Problem::warning(reason.span, format!("`{}` stands twice", reason.value.as_str())));
        } else {
            on.push(reason.value);
        }
    }
    if section.key_span("on").is_none() {
        on = Reason::DEFAULT.to_vec();
    }
    let tries = section.number("tries");
    let others = ["on", "budget", "try_timeout", "backoff"];
    if let (1, Some(span)) = (tries.value, others.iter().find_map(|name| section.key_span(name))) {
        section.note(Problem::warning(span, "this has no effect while `tries` is 1").help("2 makes one more try"));
    }
    Retry {
        tries: tries.value as usize,
        on,
        budget_percent: section.share("budget"),
        try_timeout: section.duration_override("try_timeout").flatten(),
        backoff: section.duration("backoff"),
    }
}

pub(super) fn queue(pool: &Section<'_>, place: &str) -> Option<Queue> {
    let section = pool.table("queue", place);
    let queue = Queue { max: section.number("max").value as usize, wait: section.duration("wait") };
    section.is_present().then_some(queue)
}
