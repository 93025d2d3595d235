//! The store's contract on DynamoDB, and lives that must be the same there as in memory.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use millpond_aws::aws::error::Error;
use millpond_aws_testkit::world::World;
use millpond_core::memory::MemoryStore;
use millpond_core::store::{Inserted, LateEvent, Page, Quarantined, Row, Store, Written};
use millpond_core::{Join, Position, View};
use millpond_testkit::conformance::{Shown, StoreHome, home_conforms, store_contract};
use millpond_testkit::events::ALL_FOLDS;
use tokio::runtime::Runtime;

/// Rows and views in DynamoDB. Its queues cannot be looked into: they are in memory here.
struct Tables {
    world: World,
    runtime: Runtime,
    queues: MemoryStore,
}

impl Tables {
    fn new(definition: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { world: World::new(definition), runtime, queues: MemoryStore::default() }
    }

    fn with<T>(&self, act: impl AsyncFnOnce(millpond_aws::aws::store::DynamoStore<'_>) -> T) -> T {
        self.runtime.block_on(async {
            let invocation = self.world.invocation();
            act(self.world.deployment.store(&invocation)).await
        })
    }
}

impl Store for Tables {
    type Error = Error;

    async fn view(&self, key: &str) -> Result<Option<View>, Error> {
        self.with(async |store| store.view(key).await)
    }

    async fn put_view(&self, key: &str, before: Option<&View>, next: &View) -> Result<Written, Error> {
        self.with(async |store| store.put_view(key, before, next).await)
    }

    async fn row(&self, key: &str, position: &Position) -> Result<Option<Row>, Error> {
        self.with(async |store| store.row(key, position).await)
    }

    async fn insert_row(&self, key: &str, row: &Row) -> Result<Inserted, Error> {
        self.with(async |store| store.insert_row(key, row).await)
    }

    async fn rows(&self, key: &str, after: Option<&Position>, through: Option<&Position>) -> Result<Page, Error> {
        self.with(async |store| store.rows(key, after, through).await)
    }

    async fn delete_rows(&self, key: &str, positions: &[Position]) -> Result<Vec<Position>, Error> {
        self.with(async |store| store.delete_rows(key, positions).await)
    }

    async fn keep_late(&self, late: &LateEvent) -> Result<Inserted, Error> {
        Ok(self.queues.keep_late(late).await.unwrap_or_else(|never| match never {}))
    }

    async fn keep_quarantined(&self, quarantined: &Quarantined) -> Result<(), Error> {
        let Ok(()) = self.queues.keep_quarantined(quarantined).await;
        Ok(())
    }
}

impl Shown for Tables {
    fn keys(&self) -> Vec<String> {
        self.runtime.block_on(self.world.keys())
    }

    fn late(&self) -> Vec<LateEvent> {
        self.queues.late()
    }

    fn quarantined(&self) -> Vec<Quarantined> {
        self.queues.quarantined()
    }
}

#[test]
fn dynamodb_keeps_the_contract() {
    store_contract(|| Tables::new(ALL_FOLDS));
}

#[test]
fn two_hundred_lives_are_the_same_on_dynamodb_as_in_memory() {
    home_conforms(200, |join: &Join| StoreHome::over(join, Tables::new(join.source_text())));
}
