//! What the answer to a HEAD says of the GET that is kept (RFC 9111 4.3.5).
//!
//! It is what a GET would have got, without the content. Where it has the validators and the length of what is kept, this is good for
//! longer, with its fields and under its terms, as if a 304 had said so. Where it has others, what is kept is out of date, and stale from
//! now on. Where it has no validator at all it could be about any content, and changes nothing.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::cached::{CacheSeat, Place};
use super::fetch;
use crate::cache::object::Object;
use crate::cache::policy::{Asked, Demands, Received, condition};
use crate::cache::{Lead, Sought};
use crate::message::{Answer, Head, Method, Name};
use crate::table::Caching;

/// A HEAD on its way to the origin, and what is kept of the same URL.
pub struct Checked {
    seat: Rc<CacheSeat>,
    caching: Arc<Caching>,
    known: Arc<Object>,
    /// Nobody waits for it; but whatever is purged meanwhile stays purged.
    led: Lead,
    sent: Instant,
}

impl Checked {
    /// Of a request that speaks for all. `None`: its answer may be for this client alone. `demands`: of `head`.
    pub fn of(place: &Place<'_>, known: Arc<Object>, sought: &Sought, head: &Head, demands: &Demands) -> Option<Box<Checked>> {
        // Where we put a cookie of ours into the answer it is no longer the origin's word.
        let is_stuck = place.pool.pool.sticky.is_some();
        if is_stuck || head.method() != Method::Head || head.fields.contains(Name::Authorization) || demands.no_store {
            return None;
        }
        let sent = Instant::now();
        let led = place.seat.cache.lead_alone(sought, sent);
        Some(Box::new(Checked { seat: place.seat.clone(), caching: place.caching.clone(), known, led, sent }))
    }

    pub fn answered(self, answer: &Answer) {
        let Answer::Reply { head, .. } = answer else { return };
        let is_about = condition::is_about(head, &self.known.head, self.known.content.len());
        let received = Received { at: Instant::now(), wall: SystemTime::now(), delay: self.sent.elapsed() };
        let asked = Asked { method: Method::Get, authorized: false, no_store: false };
        match is_about.filter(|_| head.status() == 200 && self.known.head.status() == 200) {
            Some(true) => match fetch::renewed(&self.known, head.copy(), asked, received, &self.caching.rules, self.seat.chance()) {
                (head, Some(terms)) => _ = self.led.confirm(&self.known, head, terms),
                (_, None) => self.known.expire(),
            },
            Some(false) => self.known.expire(),
            None => {}
        }
    }
}
