//! `PURGE URL`: takes the answers to a URL out of the cache, in the way that applications have learned from other caches.
//!
//! It is ours to answer on every route with a cache, and never goes on to a backend, who might take it for its own. Who may is said by
//! the route (`purge_from`), and judged by the client's address as far as it can be believed. 200 whether anything was there or not: what
//! was wanted is so. All variants go, in whichever pool's name they are kept; what else can be purged, the admin API does.

use bytes::Bytes;

use super::cached::Place;
use super::record::Story;
use super::{cached, edit, reply};
use crate::cache::key::Url;
use crate::cache::purge::{Purge, What};
use crate::failure::Failure;
use crate::message::{Answer, Head, Method, forwarding};

pub fn is_purge(head: &Head) -> bool {
    head.method() == Method::Other && head.method_bytes() == b"PURGE"
}

pub fn answer(place: Place<'_>, head: &Head, story: &Story) -> Result<Answer, Failure> {
    let from = &place.caching.purge_from;
    if from.is_empty() {
        return Err(Failure::PurgeNotAllowed);
    }
    if !forwarding::is_trusted(story.client(), from) {
        return Err(Failure::PurgeForbidden);
    }
    let told = cached::told(head, &story.conn, place.listener);
    let what = What::at(&Url { secure: told.secure, authority: told.host, target: head.target() });
    let met = Purge { what, soft: false }.carry_out(&place.seat.cache);
    let answer = reply::fixed(200, &Bytes::from(format!("purged: {met} entries\n")), "text/plain; charset=utf-8");
    Ok(edit::own(answer, &place.route.route))
}
