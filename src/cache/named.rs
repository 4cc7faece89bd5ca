//! One cache, as `[cache.NAME]` names it: the store, the fills under way, and the marks of what is not worth waiting for.
//!
//! Who looks for an answer and does not find it joins the fill that is under way, or leads one. Whatever goes into the store goes
//! there from a fill, under the lock of its URL: a purge first taints the fills, then looks at what is kept, so that nothing that was
//! asked for before it turns up after it.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::fill::{Fill, Flow, Opened, Settled};
use super::index::Index;
use super::key::{self, Key, Spelling, Url};
use super::object::{Content, Gauge, Object};
use super::policy::{Admitted, Refusal, Terms, Vary, condition, update};
use super::store::{Family, Fate, Memory, Slot, Store};
use crate::failure::Failure;
use crate::message::{Fields, Head};
use crate::telemetry::CacheSeries;

/// How long it is remembered that an answer could not be shared.
const MARKED_FOR: Duration = Duration::from_secs(10);
/// So many at once; a mark is a hash, and one that is taken for another costs a fetch and no more.
const MARKS: usize = 16_384;
/// So many of the latest refusals are remembered.
const REFUSALS: usize = 4096;
/// One use of an answer in so many is counted, as so many.
const SAMPLE: u32 = 8;
/// Fills under way are found by the hash of their URL, under one lock of so many.
const LOCKS: usize = 64;
/// What is under way, and what is read though it has gone, may take this part of the memory beside what is kept.
const BESIDE_PART: u64 = 10;

pub struct Cache {
    pub name: Arc<str>,
    pub series: Arc<CacheSeries>,
    store: Memory,
    index: Arc<Index>,
    fills: Box<[Mutex<Fills>]>,
    marks: quick_cache::sync::Cache<u64, Instant>,
    counts_hits: AtomicBool,
    /// By the hash of the URL: for people who ask why.
    refusals: quick_cache::sync::Cache<u64, Refusal>,
    hash: RandomState,
    families: Arc<AtomicU64>,
    /// In which its routes look for a URL, each once.
    spellings: Mutex<Arc<[Spelling]>>,
    /// What has taken its place, where a reload wanted other shards. Requests that began before still have this one, and what they find to
    /// be out of date has to go there too: after it has gone here, see `Memory::move_to`.
    heir: OnceLock<Arc<Cache>>,
    memory: AtomicU64,
    object_bytes_max: AtomicU64,
    /// Content in memory, and what of it is kept. The rest is under way, or read by somebody though it is not kept any more.
    content: Gauge,
    kept: Gauge,
}

/// By key. Several of one key where a slow one was succeeded, or where nobody is to wait for another.
type Fills = HashMap<Key, Vec<Arc<Fill>>>;

/// What a request looks for: the bytes of its key, in room that is used again.
#[derive(Debug, Default)]
pub struct Sought {
    bytes: Vec<u8>,
    ends: Ends,
}

/// Where in a key the URL ends, and where the situation does.
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    url: usize,
    situation: usize,
}

impl Sought {
    /// Begins anew; both append what they are named after.
    pub fn set(&mut self, url: impl FnOnce(&mut Vec<u8>), situation: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.clear();
        url(&mut self.bytes);
        self.ends.url = self.bytes.len();
        situation(&mut self.bytes);
        self.ends.situation = self.bytes.len();
    }

    fn url(&self) -> &[u8] {
        &self.bytes[..self.ends.url]
    }

    fn situation(&self) -> &[u8] {
        &self.bytes[self.ends.url..self.ends.situation]
    }

    /// To be kept beyond the next request.
    pub fn to_owned(&self) -> Sought {
        Sought { bytes: self.bytes.clone(), ends: self.ends }
    }
}

/// What there is for a request, good or not.
pub enum Found {
    Object(Arc<Object>),
    Nothing,
    /// There are answers under this URL, for other requests.
    OtherVariants,
}

pub enum Join {
    Lead(Lead),
    Wait(Arc<Fill>),
}

impl Cache {
    pub fn new(name: &str, memory: u64, object_bytes_max: u64, series: Arc<CacheSeries>) -> Cache {
        Cache::around(Memory::new(memory, object_bytes_max), name, memory, object_bytes_max, series)
    }

    fn around(store: Memory, name: &str, memory: u64, object_bytes_max: u64, series: Arc<CacheSeries>) -> Cache {
        Cache {
            name: name.into(),
            series,
            store,
            index: Arc::default(),
            fills: (0..LOCKS).map(|_| Mutex::default()).collect(),
            marks: quick_cache::sync::Cache::new(MARKS),
            counts_hits: AtomicBool::new(false),
            refusals: quick_cache::sync::Cache::new(REFUSALS),
            hash: RandomState::new(),
            families: Arc::new(AtomicU64::new(1)),
            spellings: Mutex::new([Spelling::default()].into()),
            heir: OnceLock::new(),
            memory: AtomicU64::new(memory),
            object_bytes_max: AtomicU64::new(object_bytes_max),
            content: Gauge::default(),
            kept: Gauge::default(),
        }
    }

    /// As the configuration has it now. What is kept stays, as far as it fits. `Some`: what takes its place, with all that is kept; what is
    /// under way here is for those who wait for it, and no others.
    pub fn resize(&self, memory: u64, object_bytes_max: u64) -> Option<Arc<Cache>> {
        let same = self.memory.load(Ordering::Relaxed) == memory && self.object_bytes_max() == object_bytes_max;
        let store = if same { None } else { self.store.resize(memory, object_bytes_max) };
        self.memory.store(memory, Ordering::Relaxed);
        self.object_bytes_max.store(object_bytes_max, Ordering::Relaxed);
        let heir = Arc::new(Cache {
            families: self.families.clone(),
            content: self.content.clone(),
            kept: self.kept.clone(),
            index: self.index.clone(),
            spellings: Mutex::new(lock(&self.spellings).clone()),
            ..Cache::around(store?, &self.name, memory, object_bytes_max, self.series.clone())
        });
        let _ = self.heir.set(heir.clone());
        self.store.move_to(&heir.store);
        Some(heir)
    }

    pub fn heir(&self) -> Option<&Cache> {
        self.heir.get().map(|heir| &**heir)
    }

    /// Bytes of content in memory that are not kept: under way, or still read by somebody.
    fn content_beside(&self) -> u64 {
        self.content.bytes().saturating_sub(self.kept.bytes())
    }

    /// Whether it is of interest how often answers are used.
    pub fn count_hits(&self, counts: bool) {
        self.counts_hits.store(counts, Ordering::Relaxed);
    }

    /// An answer was used. `chance`: any number; one use in `SAMPLE` is counted, for as many, so that popular ones are not written to by
    /// all threads at once.
    #[inline]
    pub fn used(&self, object: &Object, chance: impl FnOnce() -> u32) {
        if self.counts_hits.load(Ordering::Relaxed) && chance().is_multiple_of(SAMPLE) {
            object.used(SAMPLE);
        }
    }

    /// The URLs of the answers that were used most, those first. It is asked of a cache of any size by a process that ends: of most
    /// answers only a number is held meanwhile.
    pub fn hottest(&self, most: usize) -> Vec<String> {
        let mut all = Vec::new();
        self.each(|object| all.extend(Some(object.uses()).filter(|uses| *uses > 0)));
        let (least, mut ties) = match all.len().checked_sub(most) {
            Some(cold @ 1..) => {
                let (_, least, above) = all.select_nth_unstable(cold);
                let least = *least;
                (least, most - above.iter().filter(|uses| **uses > least).count())
            }
            _ => (1, usize::MAX),
        };
        let mut uses: HashMap<String, u64> = HashMap::new();
        self.each(|object| {
            let is_hot = match object.uses().cmp(&least) {
                Less => false,
                Equal => ties.checked_sub(1).inspect(|left| ties = *left).is_some(),
                Greater => true,
            };
            if is_hot && let Some(url) = key::url(object.key.bytes()) {
                *uses.entry(url).or_default() += u64::from(object.uses());
            }
        });
        let mut urls: Vec<_> = uses.into_iter().collect();
        urls.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
        urls.into_iter().map(|(url, _)| url).take(most).collect()
    }

    /// Looks at all that is kept, a step at a time; not a use of it.
    fn each(&self, mut look: impl FnMut(&Object)) {
        self.store.purge_all(&mut |slot| {
            if let Slot::Object(object) = slot {
                look(object);
            }
            Fate::Stays
        });
    }

    /// Tells the metrics how full it is.
    pub fn report(&self) {
        self.series.level(self.store.weight(), self.store.len(), self.store.evicted());
    }

    /// Content that is longer passes by.
    pub fn object_bytes_max(&self) -> u64 {
        self.object_bytes_max.load(Ordering::Relaxed)
    }

    /// From now on its routes look for URLs in these spellings.
    pub fn spell(&self, spellings: impl Iterator<Item = Spelling>) {
        // Those of before as well: what lies under them is still there, and is found again when they come back.
        let mut each: Vec<Spelling> = lock(&self.spellings).to_vec();
        spellings.for_each(|spelling| {
            if !each.contains(&spelling) {
                each.push(spelling);
            }
        });
        *lock(&self.spellings) = each.into();
    }

    /// In which what is kept is written; the plain one is among them.
    pub fn spellings(&self) -> Arc<[Spelling]> {
        lock(&self.spellings).clone()
    }

    /// What is kept under this URL lies under one of these.
    pub fn spelled(&self, url: &Url<'_>) -> Vec<Vec<u8>> {
        let mut urls: Vec<_> = self.spellings().iter().map(|spelling| spelling.spell(url)).collect();
        urls.sort();
        urls.dedup();
        urls
    }

    /// Looks for the answer to this request. Where answers vary, the key grows by what they vary on.
    pub fn find(&self, sought: &mut Sought, request: &Fields) -> Found {
        sought.bytes.truncate(sought.ends.situation);
        match self.store.get(sought.url()) {
            None => Found::Nothing,
            Some(Slot::Object(object)) if object.key.rest() == sought.situation() => Found::Object(object),
            Some(Slot::Object(_)) => Found::OtherVariants,
            Some(Slot::Family(family)) => {
                key::push_variant(family.number, &family.vary, request, &mut sought.bytes);
                match self.store.get(&sought.bytes) {
                    Some(Slot::Object(object)) => Found::Object(object),
                    _ => Found::OtherVariants,
                }
            }
        }
    }

    /// Joins who fetches this answer, or leads. `sought`: as `find` left it.
    pub fn join(self: &Arc<Self>, sought: &Sought, now: Instant) -> Join {
        if self.is_marked(sought, now) {
            return Join::Lead(self.lead_alone(sought, now));
        }
        let mut fills = self.fills(sought.url());
        if let Some(fill) = fills.get(&*sought.bytes).and_then(|fills| fills.iter().rfind(|fill| fill.takes_waiters())) {
            return Join::Wait(fill.clone());
        }
        Join::Lead(self.lead(&mut fills, sought, Fill::new(now, true)))
    }

    /// In place of a fill that takes too long, unless somebody else was quicker.
    pub fn succeed(self: &Arc<Self>, sought: &Sought, slow: &Arc<Fill>, now: Instant) -> Join {
        slow.close();
        self.join(sought, now)
    }

    /// Fetches without anybody else waiting for it.
    pub fn lead_alone(self: &Arc<Self>, sought: &Sought, now: Instant) -> Lead {
        self.lead(&mut self.fills(sought.url()), sought, Fill::new(now, false))
    }

    fn lead(self: &Arc<Self>, fills: &mut Fills, sought: &Sought, fill: Fill) -> Lead {
        let (key, fill) = (Key::of(&sought.bytes), Arc::new(fill));
        fills.entry(key.clone()).or_default().push(fill.clone());
        Lead { cache: self.clone(), key, ends: sought.ends, fill, part: None, over: false }
    }

    /// Forgets all answers to this URL, and does not keep what was asked for before: it has been changed.
    pub fn invalidate(&self, url: &Url<'_>) {
        for url in self.spelled(url) {
            let fills = self.fills(&url);
            fills.iter().filter(|(key, _)| key.bytes().starts_with(&url)).flat_map(|(_, fills)| fills).for_each(|fill| fill.taint());
            self.store.remove(&url);
        }
        if let Some(heir) = self.heir() {
            heir.invalidate(url);
        }
    }

    /// What is being fetched and is meant, as far as that is known of it, is not kept.
    pub fn taint(&self, is_meant: impl Fn(&[u8], Option<&Head>) -> bool) {
        for fills in &self.fills {
            for (key, fills) in lock(fills).iter() {
                for fill in fills {
                    let opened = fill.opened();
                    if is_meant(key.bytes(), opened.as_ref().map(|opened| &opened.head)) {
                        fill.taint();
                    }
                }
            }
        }
    }

    /// Of all that is kept; how many it met.
    pub fn purge_all(&self, fate: Fate) -> usize {
        self.store.purge_all(&mut |_| fate)
    }

    /// Of all with this tag.
    pub fn purge_tagged(&self, tag: &[u8], fate: Fate) -> usize {
        let mut met = 0;
        self.index.tagged(tag, |key, number| met += usize::from(self.purge(key, number, |object| object.has_tag(tag), fate)));
        met
    }

    /// Of all whose key is meant, from the first on in the order of URLs for as long as they are near.
    pub fn purge_from(&self, first: Key, is_near: impl Fn(&[u8]) -> bool, is_meant: impl Fn(&[u8]) -> bool, fate: Fate) -> usize {
        let mut met = 0;
        self.index.from(first, is_near, |key, number| met += usize::from(is_meant(key.bytes()) && self.purge(key, number, |_| true, fate)));
        met
    }

    /// All whose key is meant, as `purge_from` would find them. Not a use of them.
    pub fn kept_from(&self, first: Key, is_meant: impl Fn(&[u8]) -> bool) -> Vec<Arc<Object>> {
        let mut kept = Vec::new();
        self.index.from(first, is_meant, |key, number| {
            self.store.purge(key.looked_up(), &mut |slot| {
                if let Slot::Object(object) = slot
                    && object.number() == Some(number)
                {
                    kept.push(object.clone());
                }
                Fate::Stays
            });
        });
        kept
    }

    /// How many fills are under way whose key is meant.
    pub fn under_way(&self, is_meant: impl Fn(&[u8]) -> bool) -> usize {
        let of =
            |fills: &Mutex<Fills>| lock(fills).iter().filter(|(key, _)| is_meant(key.bytes())).map(|(_, fills)| fills.len()).sum::<usize>();
        self.fills.iter().map(of).sum()
    }

    /// Why the last answer to this URL that was not kept was not, as far as that is remembered.
    pub fn last_refused(&self, url: &[u8]) -> Option<Refusal> {
        self.refusals.get(&self.hash.hash_one(url))
    }

    /// Only where it is still the one that was found on the list.
    fn purge(&self, key: &Key, number: u64, is_meant: impl Fn(&Object) -> bool, fate: Fate) -> bool {
        self.store.purge(key.looked_up(), &mut |slot| match slot {
            Slot::Object(object) if object.number() == Some(number) && is_meant(object) => fate,
            _ => Fate::Stays,
        })
    }

    /// Whether answers to this could not be shared lately.
    pub fn is_marked(&self, sought: &Sought, now: Instant) -> bool {
        self.marks.get(&self.hash.hash_one(&*sought.bytes)).is_some_and(|until| now < until)
    }

    fn fills(&self, url: &[u8]) -> MutexGuard<'_, Fills> {
        lock(&self.fills[self.hash.hash_one(url) as usize % LOCKS])
    }

    /// Puts an answer in the store, in the family that it belongs to, unless something is there that was asked for later. `key`: up to the
    /// situation. `make`: of its key and of what is there; `None`: that is to stay. Under the lock of its URL.
    fn keep(
        &self,
        key: &[u8],
        ends: Ends,
        request: &Fields,
        vary: &Vary,
        asked: Instant,
        make: impl FnOnce(Key, Option<&Object>) -> Option<Object>,
    ) {
        let (url, situation) = key.split_at(ends.url);
        let family = match self.store.get(url) {
            Some(Slot::Family(family)) => family,
            // The only one under its URL, and for everybody: it lies there without a family.
            Some(Slot::Object(there)) if vary.is_empty() && there.key.rest() == situation => {
                return self.keep_newer(Some(there), asked, |there| make(Key::found_by(key, ends.url), there));
            }
            Some(Slot::Object(there)) if there.asked > asked && there.key.rest() == situation => return,
            None if vary.is_empty() => return self.keep_newer(None, asked, |_| make(Key::found_by(key, ends.url), None)),
            _ => self.family(url, vary.clone()),
        };
        let family = match family.vary.and(vary) {
            Some(both) if both == family.vary => family,
            Some(both) => self.family(url, both),
            None => self.family(url, vary.clone()),
        };
        let mut bytes = key.to_vec();
        key::push_variant(family.number, &family.vary, request, &mut bytes);
        let there = match self.store.get(&bytes) {
            Some(Slot::Object(there)) => Some(there),
            _ => None,
        };
        self.keep_newer(there, asked, |there| make(Key::of(&bytes), there));
    }

    /// A part that was asked for later has no say by itself: it may be of the very content of which this is more.
    fn keep_newer(&self, there: Option<Arc<Object>>, asked: Instant, make: impl FnOnce(Option<&Object>) -> Option<Object>) {
        if there.as_ref().is_none_or(|there| there.asked <= asked || !there.content.is_whole())
            && let Some(mut object) = make(there.as_deref())
        {
            object.used(there.as_ref().map_or(0, |there| there.uses()));
            object.keep(&self.index, &self.kept);
            self.store.put(object.key.clone(), Slot::Object(Arc::new(object)));
        }
    }

    /// Whether this very answer is what is kept.
    fn has(&self, object: &Arc<Object>) -> bool {
        matches!(self.store.get(object.key.looked_up()), Some(Slot::Object(there)) if Arc::ptr_eq(&there, object))
    }

    fn family(&self, url: &[u8], vary: Vary) -> Arc<Family> {
        let family = Arc::new(Family { vary, number: self.families.fetch_add(1, Ordering::Relaxed) });
        self.store.put(Key::of(url), Slot::Family(family.clone()));
        family
    }
}

/// Nothing that is locked here is ever left half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who fetches an answer. Dropped before it is over, it lets the next of those who wait lead, or cuts them off where they read already.
pub struct Lead {
    cache: Arc<Cache>,
    key: Key,
    ends: Ends,
    pub fill: Arc<Fill>,
    /// It is only this part, of a whole of that length.
    part: Option<(Range<u64>, u64)>,
    over: bool,
}

impl Lead {
    /// The answer may be kept, and shared from now on.
    pub fn open(&self, opened: Opened) {
        self.fill.open(opened);
    }

    /// What is fetched turns out to be this part, of a whole of that length.
    pub fn of_part(&mut self, part: Range<u64>, whole: u64) {
        self.part = Some((part, whole));
    }

    /// One more piece; where it has become too much, the answer is not kept.
    pub fn pour(&mut self, piece: Bytes) {
        self.fill.pour(self.cache.content.count(piece));
        if self.fill.is_narrow() {
            // A window has a bound of its own.
            return;
        }
        let most = self.cache.object_bytes_max();
        let beside = (self.cache.memory.load(Ordering::Relaxed) / BESIDE_PART).max(most);
        if self.fill.poured() > most || self.cache.content_beside() > beside {
            self.mark();
            self.leave();
            self.fill.narrow();
        }
    }

    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Flow> {
        self.fill.poll_room(cx)
    }

    /// The content is whole: it is kept, unless it was too much or something was purged meanwhile. `request`: whose answer it is.
    pub fn finish(mut self, request: &Fields) {
        self.over = true;
        if let Some(opened) = self.fill.opened().filter(|_| !self.fill.is_narrow()) {
            let cost = self.fill.began.elapsed();
            let content = Content::of(self.fill.pieces(), &self.cache.content);
            let content = match &self.part {
                None => Some(content),
                Some((part, whole)) => content.as_part(part.clone(), *whole),
            };
            let mut fills = self.cache.fills(self.url());
            // What has taken this cache's place has what was here then; nobody looks here any more.
            let is_kept = !self.fill.is_tainted() && self.cache.heir().is_none();
            if let Some(content) = content.filter(|_| is_kept) {
                let key = &self.key.bytes()[..self.ends.situation];
                let make = |key, there: Option<&Object>| self.made(key, &opened, content, there, cost);
                self.cache.keep(key, self.ends, request, &opened.admitted.vary, self.fill.began, make);
                self.cache.series.filled(cost);
            }
            remove(&mut fills, &self.key, &self.fill);
        }
        self.fill.end(Ok(()));
    }

    /// What is to be kept. A part is joined to those of the same content that are there (RFC 9111 3.4), and takes the place of others, but
    /// never of a whole, nor of one that was asked for later and is of another content: `None`.
    fn made(&self, key: Key, opened: &Opened, content: Content, there: Option<&Object>, cost: Duration) -> Option<Object> {
        let Admitted { terms, withheld, .. } = &opened.admitted;
        let is_of_one = |there: &&Object| condition::are_of_one(&there.head, &opened.head) && there.content.len() == content.len();
        let of_one = there.filter(is_of_one);
        let is_late = there.is_some_and(|there| there.asked > self.fill.began);
        if is_late && of_one.is_none() || there.is_some_and(|there| there.content.is_whole() && !content.is_whole()) {
            return None;
        }
        let asked = of_one.map_or(self.fill.began, |there| there.asked.max(self.fill.began));
        let (head, terms, content) = match (of_one, &self.part) {
            (Some(there), Some((part, _))) => {
                let joined = there.content.with(&content, part, &self.cache.content);
                if is_late {
                    (there.head.clone(), there.terms, joined)
                } else {
                    let mut head = update::freshened(&there.head, &opened.head);
                    update::prepare(&mut head, withheld);
                    (head.compact(), *terms, joined)
                }
            }
            _ => (opened.head.compact(), *terms, content),
        };
        Some(Object::new(key, head, terms, content, asked, cost))
    }

    /// The content broke off.
    pub fn cut(mut self, failure: Failure) {
        self.over = true;
        self.leave();
        self.fill.end(Err(failure));
    }

    /// The origin failed: `why`, or as its own answer says.
    pub fn fail(mut self, why: Option<Failure>) {
        self.over = true;
        self.leave();
        self.fill.settle(Settled::Failed(why));
    }

    /// The origin says that what is kept still holds, with this head and under these terms from now on.
    pub fn confirm(mut self, known: &Arc<Object>, head: Head, terms: Terms) -> Arc<Object> {
        self.over = true;
        let mut object = Object::new(known.key.clone(), head, terms, known.content.clone(), self.fill.began, known.cost);
        object.keep(&self.cache.index, &self.cache.kept);
        object.used(known.uses());
        let object = Arc::new(object);
        let mut fills = self.cache.fills(self.url());
        // What has come meanwhile is newer than what was confirmed.
        if !self.fill.is_tainted() && self.cache.has(known) {
            self.cache.store.touch(object.clone());
        }
        remove(&mut fills, &self.key, &self.fill);
        drop(fills);
        self.fill.settle(Settled::Kept(object.clone()));
        object
    }

    /// What is kept is used as it is.
    pub fn settle(mut self, object: Arc<Object>) {
        self.over = true;
        self.leave();
        self.fill.settle(Settled::Kept(object));
    }

    /// The answer is not to be kept, and this is why.
    pub fn refuse(&self, why: Refusal) {
        self.cache.refusals.insert(self.cache.hash.hash_one(self.url()), why);
    }

    /// Everybody asks for himself, and for a while nobody waits for another.
    pub fn release(mut self) {
        self.over = true;
        self.mark();
        self.leave();
        self.fill.settle(Settled::Released);
    }

    /// From now on nobody waits for others with the same wish.
    pub fn mark(&self) {
        self.cache.marks.insert(self.cache.hash.hash_one(self.key.bytes()), Instant::now() + MARKED_FOR);
    }

    /// This answer is out of date, and there is none to take its place.
    pub fn forget(&self, known: &Arc<Object>) {
        for cache in std::iter::successors(Some(&*self.cache), |cache| cache.heir()) {
            let _fills = cache.fills(self.url());
            if cache.has(known) {
                cache.store.remove(known.key.looked_up());
            }
        }
    }

    fn url(&self) -> &[u8] {
        &self.key.bytes()[..self.ends.url]
    }

    fn leave(&self) {
        remove(&mut self.cache.fills(self.url()), &self.key, &self.fill);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.over {
            self.leave();
            match self.fill.opened() {
                Some(_) => self.fill.end(Err(Failure::Internal)),
                None => self.fill.settle(Settled::Failed(Some(Failure::Internal))),
            }
        }
    }
}

fn remove(fills: &mut Fills, key: &Key, fill: &Arc<Fill>) {
    if let Some(list) = fills.get_mut(key) {
        list.retain(|other| !Arc::ptr_eq(other, fill));
        if list.is_empty() {
            fills.remove(key);
        }
    }
}

#[cfg(test)]
#[path = "named/tests.rs"]
mod tests;
