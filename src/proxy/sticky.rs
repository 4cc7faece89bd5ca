//! Sessions that stay on one backend: the cookie is read and taken off the request, and set with the answer where it has to change.
//!
//! The cookie is ours: the backend has no use for it, and one that logs or caches by cookies would be disturbed by it. So it is
//! stripped, and the others stay as they came. A cookie that is forged or stands for a backend that is out is as good as none: the
//! algorithm picks, and whoever answers is the session's backend from then on.

use std::sync::Arc;
use std::time::Instant;

use crate::backend::Backend;
use crate::message::{Conn, Head, Name};
use crate::table::{Pool, Sticky};

/// One request's.
#[derive(Clone, Copy)]
pub struct Session<'a> {
    pool: &'a Pool,
    sticky: &'a Sticky,
    /// Where its cookie leads.
    of: Option<usize>,
    /// The client is on TLS, with us or with a proxy that we trust.
    secure: bool,
}

impl<'a> Session<'a> {
    /// Reads the cookie and takes it off; `head`: as it goes to the backend. `None`: the pool's sessions are not sticky.
    pub fn take(pool: &'a Pool, head: &mut Head, conn: &Conn) -> Option<Session<'a>> {
        let sticky = pool.sticky.as_ref()?;
        let secure = conn.secure || head.fields.get(Name::XForwardedProto) == Some(b"https");
        Some(Session { pool, sticky, of: take(sticky, head), secure })
    }

    /// The backend that the session is on, if it may still have it: weight and drain keep new clients away, not this one.
    pub fn preferred(&self, now: Instant) -> Option<usize> {
        self.of.filter(|at| self.pool.set.members[*at].backend.takes_sessions(now))
    }

    /// The answer is this backend's: where that is not what the cookie says, it says so from now on.
    pub fn keep(&self, backend: &Arc<Backend>, head: &mut Head) {
        let members = &self.pool.set.members;
        if self.of.is_some_and(|at| Arc::ptr_eq(&members[at].backend, backend)) {
            return;
        }
        if let Some(at) = members.iter().position(|member| Arc::ptr_eq(&member.backend, backend)) {
            head.fields.append_known(Name::SetCookie, &self.sticky.set_cookie(at, self.secure));
        }
    }
}

/// Where the first cookie that is good leads. All cookies of this name go.
fn take(sticky: &Sticky, head: &mut Head) -> Option<usize> {
    let name = sticky.cookie().as_bytes();
    if !head.fields.get_all(Name::Cookie).flat_map(pairs).any(|pair| value(pair, name).is_some()) {
        return None;
    }
    let of = head.fields.get_all(Name::Cookie).flat_map(pairs).filter_map(|pair| value(pair, name)).find_map(|value| sticky.find(value));
    let others = |field: &[u8]| pairs(field).filter(|pair| value(pair, name).is_none()).collect::<Vec<_>>().join(&b"; "[..]);
    let rest: Vec<Vec<u8>> = head.fields.get_all(Name::Cookie).map(others).filter(|field| !field.is_empty()).collect();
    head.fields.remove(Name::Cookie);
    rest.iter().for_each(|field| head.fields.append_known(Name::Cookie, field));
    of
}

fn pairs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

/// Of a cookie of this name.
fn value<'a>(pair: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    pair.strip_prefix(name)?.strip_prefix(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Member, Set};
    use crate::config::model;
    use crate::message::Version;

    #[test]
    fn ours_goes_and_the_others_stay_as_they_came() {
        let member = |port| Member::plain(Arc::new(Backend::new(([10, 0, 0, 1], port).into())));
        let spec = model::Sticky { cookie: "t".into(), secret: None, max_age: None };
        let sticky = Sticky::of(&spec, b"secret", "app", &Set::new([1, 2].map(member)));
        let set = sticky.set_cookie(1, false);
        let good = String::from_utf8_lossy(&set).split(';').next().unwrap_or_default().to_owned();
        for (fields, of, rest) in [
            (vec![], None, vec![]),
            (vec!["a=b; tt=1;  T=2"], None, vec!["a=b; tt=1;  T=2"]),
            (vec![&*good], Some(1), vec![]),
            (vec![&*format!("a=b; {good}; c=\"d\"")], Some(1), vec!["a=b; c=\"d\""]),
            (vec!["t=forged; a=b"], None, vec!["a=b"]),
            (vec!["t="], None, vec![]),
            (vec!["t=forged", &*format!("{good};a"), "b=c"], Some(1), vec!["a", "b=c"]),
        ] {
            let mut head = Head::request(b"GET", b"/", b"a.example", Version::Http11);
            fields.iter().for_each(|field| head.fields.append(b"cookie", field.as_bytes()));
            assert_eq!(take(&sticky, &mut head), of, "{fields:?}");
            let left: Vec<_> = head.fields.get_all(Name::Cookie).map(|field| String::from_utf8_lossy(field).into_owned()).collect();
            assert_eq!(left, rest, "{fields:?}");
        }
    }
}
