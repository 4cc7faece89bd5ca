use super::super::client::Connection;
use super::super::scripted::{Scripted, ask, on_our_time, pass, until};
use super::*;
use crate::failure::Failure;

/// A request that a connection carries, which is left unanswered.
async fn unanswered(backend: &Scripted) -> (std::rc::Rc<Connection>, super::super::client::Exchange) {
    let connection = backend.connect().await.expect("a connection");
    let exchange = ask(connection.claim().expect("a place")).await.unwrap_or_else(|lost| panic!("{}", lost.failure));
    until("the request", || backend.script.requests.get() == 1).await;
    (connection, exchange)
}

#[test]
fn a_backend_that_owes_an_answer_and_answers_no_ping_is_given_up() {
    on_our_time(async {
        let backend = Scripted::start().await;
        let (connection, mut exchange) = unanswered(&backend).await;
        pass(SILENCE.saturating_sub(Duration::from_millis(200))).await;
        assert_eq!(backend.script.pings.get(), 0);
        pass(Duration::from_millis(400)).await;
        assert_eq!((backend.script.pings.get(), connection.is_open()), (1, true));
        pass(PATIENCE.saturating_sub(Duration::from_secs(1))).await;
        assert!(connection.is_open());
        pass(Duration::from_secs(1)).await;
        assert!(!connection.is_open());
        let lost = exchange.read_head(Duration::from_secs(3600)).await.map(|_| ()).expect_err("nobody answers");
        assert_eq!((lost.failure, lost.untouched), (Failure::UpstreamReset, false));
        drop((exchange, connection));
        until("the connection's end", || backend.script.ended.get() == 1).await;
    });
}

#[test]
fn one_that_answers_pings_is_waited_for_and_not_asked_more_than_servers_of_grpc_bear() {
    on_our_time(async {
        let backend = Scripted::start().await;
        backend.script.answers_pings.set(true);
        let (connection, _exchange) = unanswered(&backend).await;
        pass(APART).await;
        assert_eq!((backend.script.pings.get(), connection.is_open()), (1, true));
        pass(SILENCE * 2).await;
        assert_eq!((backend.script.pings.get(), connection.is_open()), (2, true));
    });
}

#[test]
fn an_answer_makes_the_next_ping_come_as_soon_as_the_first() {
    on_our_time(async {
        let backend = Scripted::start().await;
        backend.script.answers_pings.set(true);
        let (connection, _exchange) = unanswered(&backend).await;
        pass(SILENCE + Duration::from_secs(1)).await;
        assert_eq!(backend.script.pings.get(), 1);
        backend.script.answers.set(true);
        let mut answered = ask(connection.claim().expect("a place")).await.unwrap_or_else(|lost| panic!("{}", lost.failure));
        assert_eq!(answered.read_head(Duration::from_secs(60)).await.map_err(|lost| lost.failure).expect("an answer").status(), 200);
        pass(SILENCE + Duration::from_secs(1)).await;
        assert_eq!(backend.script.pings.get(), 2);
    });
}

#[test]
fn a_connection_without_requests_is_left_alone() {
    on_our_time(async {
        let backend = Scripted::start().await;
        backend.script.answers.set(true);
        let (connection, mut exchange) = unanswered(&backend).await;
        assert!(exchange.read_head(Duration::from_secs(60)).await.is_ok());
        drop(exchange);
        pass(SILENCE * 6).await;
        assert_eq!((backend.script.pings.get(), connection.is_open()), (0, true));
    });
}
