//! The origin, asked in a cache's name: one request for all who want the same answer.
//!
//! Who is first leads: its request becomes an `Errand`, a future that owns all it needs and pours the answer into a `Fill`. The leader
//! polls it as part of its own request, so that a short answer costs no task; a long one goes on as a task of its own once the
//! head is known, and so does one whose client has left: others wait for it, and if nobody does, the next one will be glad of it. The
//! rest waits for the head, and then reads along.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use super::cached::{CacheSeat, Place, Say, Want, holds, not_modified, speaks_for_all, state_range, told_of};
use super::edit::{self, Asks};
use super::forward;
use super::record::{Exchange, Ledger, RouteSeat, Story};
use super::sticky::Session;
use super::view::PoolSeat;
use crate::cache::fill::{Fill, Flow, Opened, Seen, Settled};
use crate::cache::object::Object;
use crate::cache::policy::{Admitted, Asked, Demands, Received, Refusal, Rules, Terms, Use, Vary, admit, condition, range, update};
use crate::cache::{Join, Lead, Sought};
use crate::failure::Failure;
use crate::io::{Timer, clock};
use crate::message::fields::digits;
use crate::message::forwarding::Told;
use crate::message::{Answer, Body, Conn, Frame, Head, Interim, Length, Method, Name, Names, forwarding};
use crate::table::{Caching, Timeouts};
use crate::telemetry::CacheResult;

/// Errands of one thread that go on without their client.
const ORPHANS_MAX: usize = 256;
/// Who has waited for so many fetches that failed, one after the other, waits no more.
const FAILURES_MAX: u32 = 3;
/// After so many bytes of an answer others get their turn.
const TURN_BYTES: usize = 256 << 10;
/// What of a client's request is about its own copy of the answer.
const OF_THE_CLIENT: Names = Names::of(&[Name::Range, Name::IfRange, Name::IfNoneMatch, Name::IfModifiedSince]);

/// What the cache has not, from the origin: through whoever fetches it already, or by leading.
pub async fn answer(place: &Place<'_>, want: Want, head: &Head, story: &mut Story, interim: &mut dyn Interim) -> Result<Answer, Failure> {
    let cache = &place.seat.cache;
    // What is for one client alone, by its own words, makes nobody wait; nor does a part, since others may want another.
    let alone = want.demands.no_store || head.fields.contains(Name::Authorization) || want.part;
    let mut join = match alone {
        true => Join::Lead(cache.lead_alone(&want.sought, Instant::now())),
        false => cache.join(&want.sought, Instant::now()),
    };
    let mut failed = 0;
    loop {
        let fill = match join {
            Join::Lead(led) => return lead(place, &want, led, head, story, interim).await,
            Join::Wait(fill) => fill,
        };
        join = match wait(&fill, place.caching.lock_age).await {
            // One after the other: an origin that fails does not get better by all asking at once.
            Some(Seen::Settled(Settled::Failed(_))) if failed + 1 < FAILURES_MAX => {
                failed += 1;
                cache.join(&want.sought, Instant::now())
            }
            Some(Seen::Settled(Settled::Failed(Some(failure)))) => {
                place.tell(story, CacheResult::Collapsed);
                return Err(failure);
            }
            // Who leads has asked about a part, and it is not that which is wanted here.
            Some(Seen::Settled(Settled::Kept(object))) if !holds(&object, head) && failed + 1 < FAILURES_MAX => {
                failed += 1;
                cache.join(&want.sought, Instant::now())
            }
            Some(seen) => match share(place, &want, &fill, seen, head, story) {
                Some(answer) => return Ok(answer),
                None => Join::Lead(cache.lead_alone(&want.sought, Instant::now())),
            },
            None => cache.succeed(&want.sought, &fill, Instant::now()),
        };
    }
}

/// Fetches an answer anew that goes on being used meanwhile; does nothing where somebody does so already. `told` and `demands`: of `head`.
pub fn refresh(place: &Place<'_>, object: &Arc<Object>, sought: &Sought, head: &Head, told: &Told<'_>, demands: Demands, story: &Story) {
    // For all, on the word of one: it must not be the word of one who asks for himself.
    let is_alone = || head.fields.contains(Name::Authorization) || demands.no_store || !speaks_for_all(head, told, &place.caching.recipe);
    if object.is_refreshing() || is_alone() || !object.ask() {
        return;
    }
    match place.seat.cache.join(sought, Instant::now()) {
        Join::Wait(_) => object.give_up(),
        Join::Lead(led) => {
            let errand = Errand::new(place, head, story, Some(object.clone()), Demands::default(), false);
            tokio::task::spawn_local(errand.run(led, Rc::default()));
        }
    }
}

/// `None`: it takes longer than one should wait for another.
async fn wait(fill: &Fill, most: Duration) -> Option<Seen> {
    let timer = Timer::new();
    timer.limit(most.saturating_sub(fill.began.elapsed()), poll_fn(|cx| fill.poll_seen(cx))).await.ok()
}

/// What somebody else fetches, where this request may have it.
fn share(place: &Place<'_>, want: &Want, fill: &Arc<Fill>, seen: Seen, request: &Head, story: &mut Story) -> Option<Answer> {
    let now = Instant::now();
    let answer = match seen {
        Seen::Open(opened) => {
            let Admitted { terms, vary, .. } = &opened.admitted;
            let mut variant = Vec::new();
            vary.write(&request.fields, &mut variant);
            if variant != opened.variant || terms.judge(&want.demands, false, now) != Use::Fresh {
                return None;
            }
            let told = Say::Forwarded { why: told_of(want.why), status: None, stored: true, collapsed: true, detail: None };
            place.pass_on(request, &opened, None, fill.reader()?, told)
        }
        Seen::Settled(Settled::Kept(object)) => {
            let good = object.terms.judge(&want.demands, object.is_expired(), now) == Use::Fresh;
            if !good && !object.terms.serves_on_error(&want.demands, now) {
                return None;
            }
            let told = Say::Forwarded { why: told_of(want.why), status: None, stored: false, collapsed: true, detail: None };
            place.serve(request, &object, now, told).ok()?
        }
        Seen::Settled(Settled::Released | Settled::Failed(_)) => return None,
    };
    place.tell(story, CacheResult::Collapsed);
    Some(answer)
}

async fn lead(
    place: &Place<'_>,
    want: &Want,
    led: Lead,
    head: &Head,
    story: &mut Story,
    interim: &mut dyn Interim,
) -> Result<Answer, Failure> {
    let known = want.known.clone();
    let errand = Errand::new(place, head, story, known, want.demands, want.part);
    let report = Rc::new(Report::default());
    let mut errand = Running(Some(Box::pin(errand.run(led, report.clone()))));
    let news = loop {
        let next = poll_fn(|cx| {
            let over = errand.poll(cx).is_ready();
            if let Some(ahead) = report.ahead.borrow_mut().pop_front() {
                return Poll::Ready(Err(ahead));
            }
            match report.news.take() {
                Some(news) => Poll::Ready(Ok(news)),
                None if over => Poll::Ready(Ok(News::Failed(Failure::Internal))),
                None => Poll::Pending,
            }
        });
        match next.await {
            Ok(news) => break news,
            Err(ahead) => interim.send(&ahead).await?,
        }
    };
    errand.go_on();
    if let Some(way) = report.way.borrow_mut().as_mut() {
        story.adopt(way.parts().1);
    }
    let told = |status, stored, detail| Say::Forwarded { why: told_of(want.why), status, stored, collapsed: false, detail };
    match news {
        News::Failed(failure) => {
            place.tell(story, want.why);
            Err(failure)
        }
        News::Open(opened, own, body) => {
            place.tell(story, want.why);
            // What is kept of a part is kept as of its whole.
            let status = own.as_ref().unwrap_or(&opened.head).status();
            Ok(place.pass_on(head, &opened, own, body, told(Some(status), true, None)))
        }
        News::Kept(object, result) => {
            place.tell(story, result);
            let told = match result {
                CacheResult::Stale => Say::Hit,
                _ => told(Some(304), true, None),
            };
            place.serve(head, &object, Instant::now(), told)
        }
        News::Passed(mut answer, mut body, refusal) => {
            place.tell(story, want.why);
            let status = answer.status();
            // The client's conditions were not passed on, since the answer might have been for all.
            if condition::is_not_modified(&head.fields, &answer) {
                body = not_modified(&mut answer);
            }
            place.sign(&mut answer, told(Some(status), false, Some(refusal.as_str())), None);
            Ok(edit::own(Answer::Reply { head: answer, body }, &place.route.route))
        }
    }
}

impl Place<'_> {
    /// An answer that is on its way into the cache. `own`: its head, where this client is sent another than is kept.
    fn pass_on(&self, request: &Head, opened: &Opened, own: Option<Head>, mut body: Body, say: Say) -> Answer {
        let mut head = own.unwrap_or_else(|| opened.head.copy());
        if condition::is_not_modified(&request.fields, &opened.head) {
            body = not_modified(&mut head);
        } else if let Length::Exact(length) = body.length()
            && length > 0
            && opened.head.status() == 200
            && range::is_all(&request.fields)
            && condition::allows_ranges(&request.fields, &opened.head)
        {
            // All of it, from the first byte on, is what is on its way.
            state_range(&mut head, 0..length, length);
        }
        let age = opened.admitted.terms.age(Instant::now()).as_secs();
        if age > 0 {
            head.fields.append_known(Name::Age, digits(age, &mut [0; 20]));
        }
        self.sign(&mut head, say, None);
        edit::own(Answer::Reply { head, body }, &self.route.route)
    }
}

/// How an errand ended, as far as its leader has to know.
enum News {
    /// It is shared, and will be kept. The leader reads it as all do; with a head of its own where fields of it are for nobody else.
    Open(Arc<Opened>, Option<Head>, Body),
    /// What is kept may be used.
    Kept(Arc<Object>, CacheResult),
    /// It is for the leader alone.
    Passed(Head, Body, Refusal),
    Failed(Failure),
}

#[derive(Default)]
struct Report {
    /// What the origin says ahead of its answer. It is about one exchange, and so for the leader alone.
    ahead: RefCell<VecDeque<Head>>,
    news: Cell<Option<News>>,
    /// What happened on the way to the origin.
    way: RefCell<Option<Box<Exchange>>>,
}

thread_local! {
    static ORPHANS: Cell<usize> = const { Cell::new(0) };
}

/// An errand that the leader polls. If the leader goes, it goes on.
struct Running(Option<Pin<Box<dyn Future<Output = ()>>>>);

impl Running {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(errand) = &mut self.0 else { return Poll::Ready(()) };
        let polled = errand.as_mut().poll(cx);
        if polled.is_ready() {
            self.0 = None;
        }
        polled
    }

    /// As a task of its own, if there is anything left to do.
    fn go_on(&mut self) {
        if let Some(errand) = self.0.take() {
            tokio::task::spawn_local(errand);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(errand) = self.0.take() else { return };
        let orphans = ORPHANS.get();
        if orphans < ORPHANS_MAX && !std::thread::panicking() && tokio::runtime::Handle::try_current().is_ok() {
            ORPHANS.set(orphans + 1);
            tokio::task::spawn_local(async move {
                let _counted = Orphan;
                errand.await;
            });
        }
    }
}

struct Orphan;

impl Drop for Orphan {
    fn drop(&mut self) {
        ORPHANS.set(ORPHANS.get() - 1);
    }
}

/// One request to the origin, with all that it takes.
struct Errand {
    route: Rc<RouteSeat>,
    seat: Rc<CacheSeat>,
    caching: Arc<Caching>,
    pool: Rc<PoolSeat>,
    timeouts: Timeouts,
    conn: Rc<Conn>,
    ledger: Rc<Ledger>,
    /// As the client sent it, and as the origin gets it.
    client: Head,
    request: Head,
    asked: Asked,
    /// What is kept, and asked about.
    known: Option<Arc<Object>>,
    demands: Demands,
    /// Only the part that the client asks for.
    part: bool,
}

impl Errand {
    fn new(place: &Place<'_>, head: &Head, story: &Story, known: Option<Arc<Object>>, demands: Demands, part: bool) -> Errand {
        let client = head.copy();
        let mut request = head.copy();
        let asked = Asked {
            method: Method::Get,
            authorized: head.fields.contains(Name::Authorization),
            no_store: Demands::of(&head.fields).no_store,
        };
        request.fields.remove_all(if part { OF_THE_CLIENT.without(Name::Range) } else { OF_THE_CLIENT });
        if let Some(known) = &known {
            condition::ask(&mut request.fields, &known.head);
        }
        edit::request(&mut request, &place.route.route, place.listener, &story.conn);
        // An answer for many belongs to nobody's session.
        Session::take(&place.pool.pool, &mut request, &story.conn);
        Errand {
            route: place.route.clone(),
            seat: place.seat.clone(),
            caching: place.caching.clone(),
            pool: place.pool.clone(),
            timeouts: *place.timeouts,
            conn: story.conn.clone(),
            ledger: story.ledger().clone(),
            client,
            request,
            asked,
            known,
            demands,
            part,
        }
    }

    async fn run(mut self, led: Lead, report: Rc<Report>) {
        let sent = Instant::now();
        let mut exchange = Exchange::background(self.conn.clone(), sent, self.route.clone(), self.ledger.clone());
        let mut reached = self.reach(&mut exchange, &report).await;
        if let (Ok((head, _)), Some(known)) = (&reached, &self.known)
            && head.status() == 304
            && !condition::confirms(head, &known.head)
        {
            // It holds something else for unchanged than we have.
            self.request.fields.remove_all(condition::FOR_US);
            reached = self.reach(&mut exchange, &report).await;
        }
        // Where there is something kept, it can only mean that. But nobody is told so who has not asked.
        let is_asked = self.known.is_some() || self.client.fields.may_have(condition::FOR_US);
        let is_unasked = |head: &Head| head.status() == 304 && !is_asked;
        let reached = reached.and_then(|(head, body)| if is_unasked(&head) { Err(Failure::NotModifiedUnasked) } else { Ok((head, body)) });
        report.way.replace(Some(exchange));
        let received = Received { at: Instant::now(), wall: SystemTime::now(), delay: sent.elapsed() };
        if let Some(known) = &self.known {
            known.give_up();
        }
        match (reached, &self.known) {
            (Ok((head, _)), Some(known)) if head.status() == 304 => {
                let object = self.confirmed(known, head, received, led);
                report.news.set(Some(News::Kept(object, CacheResult::Revalidated)));
            }
            (reached, Some(known)) if is_error(&reached) && known.terms.serves_on_error(&self.demands, received.at) => {
                led.settle(known.clone());
                report.news.set(Some(News::Kept(known.clone(), CacheResult::Stale)));
            }
            (Err(failure), _) => {
                led.fail(Some(failure));
                report.news.set(Some(News::Failed(failure)));
            }
            (Ok((head, body)), _) => {
                let is_awaited = Rc::strong_count(&report) > 1;
                self.take(head, body, received, led, is_awaited.then_some(&report)).await
            }
        }
    }

    /// The origin's answer.
    async fn reach(&self, exchange: &mut Exchange, report: &Report) -> Result<(Head, Body), Failure> {
        let asks = Asks { upgrade: false, session: None };
        let story = exchange.parts().1;
        match forward::run(&self.pool, &self.timeouts, asks, &self.request, story, Body::empty(), &mut Ahead(report)).await? {
            Answer::Reply { head, body } => Ok((head, body)),
            // Not without being asked for.
            Answer::Tunnel { .. } => Err(Failure::UpgradeUnexpected),
        }
    }

    /// What is kept, as the origin has confirmed it.
    fn confirmed(&self, known: &Arc<Object>, news: Head, received: Received, led: Lead) -> Arc<Object> {
        match renewed(known, news, self.asked, received, &self.caching.rules, self.seat.chance()) {
            (head, Some(terms)) => led.confirm(known, head, terms),
            (head, None) => {
                // Good for this once, and no more; for others it is as good as it was, where only this client's words are the reason.
                if !self.is_alone() {
                    led.forget(known);
                    led.release();
                }
                let (key, content) = (known.key.clone(), known.content.clone());
                Arc::new(Object::new(key, head, known.terms, content, known.asked, known.cost))
            }
        }
    }

    /// The client wants something that is for it alone.
    fn is_alone(&self) -> bool {
        self.asked.no_store || self.asked.authorized
    }

    /// A new answer: for all, where it may be kept, else for the leader alone. `report`: where somebody waits for it. Nobody else may be
    /// given a reader, for one that does not read holds up the fetch.
    async fn take(&self, mut head: Head, body: Body, received: Received, mut led: Lead, report: Option<&Rc<Report>>) {
        forwarding::to_downstream(&mut head, false);
        let most = self.seat.cache.object_bytes_max();
        // A part is kept under the head of its whole; the client gets it under its own.
        let mut sent = None;
        let part = if self.part { part_of(&head, &body) } else { None };
        if let Some((_, whole)) = &part {
            update::dated(&mut head, &clock::date());
            sent = Some(head.copy());
            update::into_whole(&mut head, *whole);
        }
        let admitted =
            admit(self.asked, &head, received, &self.caching.rules, self.seat.chance()).and_then(|admitted| match (&part, body.length()) {
                (Some((_, whole)), _) if *whole > most => Err(Refusal::TooLarge),
                (None, Length::Exact(length)) if length > most => Err(Refusal::TooLarge),
                // What else a range has drawn is no answer to who asks without one.
                _ if self.part && head.status() != 200 => Err(Refusal::Status),
                _ => Ok(admitted),
            });
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) if self.part => {
                // Nobody waits for it, and of the whole it says nothing.
                led.fail(None);
                if let Some(report) = report {
                    report.news.set(Some(News::Passed(sent.unwrap_or(head), body, refusal)));
                }
                return;
            }
            Err(refusal) => {
                led.refuse(refusal);
                // By its own words it may say nothing about what others would get.
                if !self.is_alone() && head.status() >= 500 {
                    led.fail(None);
                } else if !self.is_alone() {
                    // One client's cookie may have drawn it, and by its word alone nothing goes that is still fresh.
                    let is_fresh = |known: &Object| known.terms.judge(&Demands::default(), known.is_expired(), received.at) == Use::Fresh;
                    if let Some(known) = self.known.as_ref().filter(|known| !is_fresh(known)) {
                        led.forget(known);
                    }
                    led.release();
                }
                if let Some(report) = report {
                    report.news.set(Some(News::Passed(head, body, refusal)));
                }
                return;
            }
        };
        update::dated(&mut head, &clock::date());
        // `private="x-user"`: this client is that user.
        let own = (sent.is_some() || !admitted.withheld.is_empty()).then(|| {
            let mut own = sent.unwrap_or_else(|| head.copy());
            let cookie = [b"set-cookie".to_vec()];
            let for_nobody = if self.caching.rules.strip_cookies { &cookie[..] } else { &[] };
            update::prepare(&mut own, for_nobody);
            own
        });
        update::prepare(&mut head, &admitted.withheld);
        if let Some((part, whole)) = part {
            led.of_part(part, whole);
        } else if admitted.terms.judge(&Demands::default(), false, received.at) != Use::Fresh {
            // Kept to be asked about, but nobody else can use it as it is.
            led.mark();
        }
        let mut variant = Vec::new();
        admitted.vary.write(&self.client.fields, &mut variant);
        led.open(Opened { head, admitted, variant, length: body.length() });
        if let Some(report) = report
            && let (Some(opened), Some(reader)) = (led.fill.opened(), led.fill.reader())
        {
            report.news.set(Some(News::Open(opened, own, reader)));
        }
        self.pour(body, led).await;
    }

    async fn pour(&self, mut body: Body, mut led: Lead) {
        let mut turn = 0;
        loop {
            if poll_fn(|cx| led.poll_room(cx)).await == Flow::Stop {
                return;
            }
            match poll_fn(|cx| body.poll_frame(cx)).await {
                Some(Ok(Frame::Data(piece))) => {
                    turn += piece.len();
                    led.pour(piece);
                    if turn > TURN_BYTES {
                        turn = 0;
                        tokio::task::yield_now().await;
                    }
                }
                // For one reader at its time; what is kept has none.
                Some(Ok(Frame::Trailers(_))) => {}
                Some(Err(failure)) => return led.cut(failure),
                None => return led.finish(&self.client.fields),
            }
        }
    }
}

/// The head of what is kept with the origin's newest word about it, and the terms of its use from then on. `None`: with this it may not be
/// kept where it is.
pub fn renewed(known: &Object, mut news: Head, asked: Asked, received: Received, rules: &Rules, chance: f64) -> (Head, Option<Terms>) {
    forwarding::to_downstream(&mut news, false);
    update::dated(&mut news, &clock::date());
    news.fields.remove(Name::Via);
    // With its `Age`, which is that of the word that it still holds.
    let mut head = update::freshened(&known.head, &news);
    let admitted = admit(asked, &head, received, rules, chance);
    update::prepare(&mut head, admitted.as_ref().map_or(&[], |admitted| &admitted.withheld));
    // Where it is to vary by other fields than before, it lies where others would find it.
    let lies_well = |admitted: &Admitted| Some(&admitted.vary) == Vary::of(&known.head.fields).as_ref();
    (head.compact(), admitted.ok().filter(lies_well).map(|admitted| admitted.terms))
}

/// Which part an answer is, and of a whole of which length, where it can be kept beside other parts of the same: it is one alone, says where
/// it belongs, and by a strong entity tag to what (RFC 9110 15.3.7).
fn part_of(head: &Head, body: &Body) -> Option<(Range<u64>, u64)> {
    let (part, whole) = range::sent(&head.fields).filter(|_| head.status() == 206 && condition::strong_tag(head).is_some())?;
    let is_that_long = match body.length() {
        Length::Exact(length) => length == part.end - part.start,
        Length::Unknown => true,
    };
    is_that_long.then_some((part, whole))
}

/// What `stale-if-error` means by an error (RFC 5861 4).
fn is_error(reached: &Result<(Head, Body), Failure>) -> bool {
    match reached {
        Ok((head, _)) => matches!(head.status(), 500 | 502..=504),
        Err(_) => true,
    }
}

/// Hands interim answers to the leader, as many as `forward` lets through. Where it has left they are never fetched.
struct Ahead<'a>(&'a Report);

impl Interim for Ahead<'_> {
    fn send<'a>(&'a mut self, head: &'a Head) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>> {
        self.0.ahead.borrow_mut().push_back(head.copy());
        Box::pin(async { Ok(()) })
    }
}
