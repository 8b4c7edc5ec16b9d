//! What the domain needs of a database, on every engine: each promise is a function in one of the files below, named in
//! the list at its end, and a test for each engine. What only one engine can break is tested inside its crate.

/// One test for each promise on each engine: `store::<subject>::<engine>::<promise>`.
macro_rules! on_every_engine {
    ($($promise:ident),+ $(,)?) => {
        on_engine! { sqlite, Sqlite: $($promise),+ }
        on_engine! { postgresql, PostgreSql: $($promise),+ }
        on_engine! { mariadb, MariaDb: $($promise),+ }
    };
}

macro_rules! on_engine {
    ($module:ident, $engine:ident: $($promise:ident),+) => {
        mod $module {
            use crate::support::stores::{Engine, Store};

            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    let store = Store::open(Engine::$engine).await;
                    super::$promise(store).await;
                }
            )+
        }
    };
}

mod active_store;
mod audit;
mod cancelled;
mod ciphertexts;
mod copies;
mod crowded;
mod exactness;
mod intents;
mod leases;
mod names;
mod order;
mod paging;
mod plans;
mod principals;
mod races;
mod rows;
mod servers;
mod services;
