use std::task::{Context, Poll, Waker};

use super::*;
use crate::http2::scripted::{Scripted, ask, on_our_time, pass, until};

async fn claim(lines: &Lines, backend: &Scripted) -> (Place, Came) {
    lines.claim(|| backend.connect()).await.unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn those_who_come_together_wait_for_one_connection() {
    on_our_time(async {
        let (backend, lines) = (Scripted::start().await, Lines::default());
        let claims = futures_util::future::join_all((0..5).map(|_| claim(&lines, &backend))).await;
        let opened = claims.iter().filter(|(_, came)| *came == Came::Opened).count();
        assert_eq!((opened, backend.script.connections.get(), lines.load()), (1, 1, (1, 5)));
        drop(claims);
        assert_eq!((lines.load(), lines.idle()), ((1, 0), 1));
        assert_eq!(claim(&lines, &backend).await.1, Came::Kept);
    });
}

#[test]
fn the_oldest_connection_with_room_is_used_and_the_others_come_to_rest() {
    on_our_time(async {
        let (backend, lines) = (Scripted::start().await, Lines::default());
        backend.script.streams_max.set(Some(2));
        let mut places = Vec::new();
        for expected in [Came::Opened, Came::Kept, Came::Opened, Came::Kept, Came::Opened] {
            let (place, came) = claim(&lines, &backend).await;
            assert_eq!(came, expected);
            places.push(place);
        }
        assert_eq!(lines.load(), (3, 5));
        // The first place of the oldest, and all of the others'.
        let kept = places.remove(1);
        drop(places);
        let (again, came) = claim(&lines, &backend).await;
        assert_eq!((came, lines.idle()), (Came::Kept, 2));
        lines.sweep(1, Duration::from_secs(3600));
        assert_eq!(lines.load(), (2, 2));
        pass(Duration::from_secs(2)).await;
        lines.sweep(1, Duration::from_secs(1));
        assert_eq!(lines.load(), (1, 2));
        until("two connections to end", || backend.script.ended.get() == 2).await;
        drop((kept, again));
    });
}

#[test]
fn a_connection_that_is_given_up_is_replaced() {
    on_our_time(async {
        let (backend, lines) = (Scripted::start().await, Lines::default());
        let mut exchange = ask(claim(&lines, &backend).await.0).await.unwrap_or_else(|lost| panic!("{}", lost.failure));
        // It answers neither the request nor a ping.
        pass(Duration::from_secs(16)).await;
        assert!(exchange.read_head(Duration::from_secs(60)).await.is_err());
        backend.script.answers.set(true);
        let (place, came) = claim(&lines, &backend).await;
        assert_eq!((came, backend.script.connections.get(), lines.load()), (Came::Opened, 2, (1, 1)));
        let mut exchange = ask(place).await.unwrap_or_else(|lost| panic!("{}", lost.failure));
        assert!(exchange.read_head(Duration::from_secs(60)).await.is_ok());
    });
}

#[test]
fn a_connection_that_nobody_waits_for_any_more_is_not_opened() {
    on_our_time(async {
        let (backend, lines) = (Scripted::start().await, Lines::default());
        backend.script.mute.set(true);
        let mut claims: Vec<_> = (0..2).map(|_| Box::pin(claim(&lines, &backend))).collect();
        let cx = &mut Context::from_waker(Waker::noop());
        until("a connection", || {
            assert!(claims.iter_mut().all(|claim| claim.as_mut().poll(cx).is_pending()));
            backend.script.connections.get() == 1
        })
        .await;
        claims.pop();
        pass(Duration::from_secs(1)).await;
        assert!(matches!(claims[0].as_mut().poll(cx), Poll::Pending));
        assert_eq!((lines.opening.borrow().len(), backend.script.ended.get()), (1, 0));
        claims.pop();
        assert_eq!(lines.opening.borrow().len(), 0);
        until("its end", || backend.script.ended.get() == 1).await;
    });
}
