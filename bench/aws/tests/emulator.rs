//! What is counted is what the emulator bills; here, that it bills as DynamoDB's documentation says:
//! a strongly consistent read by 4 KB, a write by 1 KB of the larger image, a transaction twice, and
//! at least one unit for each, found or not.

#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, ConsumedCapacity, DeleteRequest, Put, ReturnConsumedCapacity, TransactWriteItem, WriteRequest,
};
use millpond_aws_testkit::fake::{EVENTS, FakeAws, VIEW};

type Item = HashMap<String, AttributeValue>;

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn place(sequence: &str) -> Item {
    Item::from([("id".to_owned(), text("k")), ("sequence".to_owned(), text(sequence))])
}

/// An item of so many bytes, names included.
fn item(mut item: Item, bytes: usize) -> Item {
    let taken: usize = item.iter().map(|(name, value)| name.len() + value.as_s().unwrap().len()).sum();
    item.insert("x".to_owned(), text("x".repeat(bytes - taken - 1)));
    item
}

fn view(key: &str, bytes: usize) -> Item {
    item(Item::from([("id".to_owned(), text(key))]), bytes)
}

fn units(capacity: Option<&ConsumedCapacity>) -> f64 {
    capacity.unwrap().capacity_units().unwrap()
}

struct Table(aws_sdk_dynamodb::Client);

impl Table {
    fn new() -> Self {
        Self(FakeAws::default().clients().dynamo)
    }

    async fn put(&self, item: Item) -> f64 {
        let put = self.0.put_item().table_name(EVENTS).set_item(Some(item));
        units(put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.unwrap().consumed_capacity())
    }

    async fn get(&self, sequence: &str) -> f64 {
        let get = self.0.get_item().table_name(EVENTS).set_key(Some(place(sequence))).consistent_read(true);
        units(get.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.unwrap().consumed_capacity())
    }

    async fn query(&self, key: &str) -> f64 {
        let query = self.0.query().table_name(EVENTS).consistent_read(true).key_condition_expression("id = :id");
        let query = query.expression_attribute_values(":id", text(key));
        units(query.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.unwrap().consumed_capacity())
    }
}

#[tokio::test]
async fn reads_are_billed_by_4_kb_and_those_of_nothing_too() {
    let table = Table::new();
    table.put(item(place("a"), 4_096)).await;
    table.put(item(place("b"), 4_097)).await;
    assert_eq!((table.get("a").await, table.get("b").await, table.get("none").await), (1.0, 2.0, 1.0));
    // A query is billed for the sum of what it reads.
    assert_eq!((table.query("k").await, table.query("none").await), (3.0, 1.0));
}

#[tokio::test]
async fn writes_are_billed_by_1_kb_of_the_larger_image() {
    let table = Table::new();
    let mut billed = Vec::new();
    for bytes in [1_024, 1_025, 5_000, 100] {
        billed.push(table.put(item(place("a"), bytes)).await);
    }
    assert_eq!(billed, [1.0, 2.0, 5.0, 5.0]);
}

#[tokio::test]
async fn deletes_in_a_batch_are_billed_each_by_what_was_there() {
    let table = Table::new();
    table.put(item(place("a"), 1_024)).await;
    table.put(item(place("b"), 2_000)).await;
    let delete = |sequence: &str| {
        let delete = DeleteRequest::builder().set_key(Some(place(sequence))).build().unwrap();
        WriteRequest::builder().delete_request(delete).build()
    };
    let batch = table.0.batch_write_item().request_items(EVENTS, ["a", "b", "none"].map(delete).to_vec());
    let answer = batch.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.unwrap();
    assert_eq!(units(answer.consumed_capacity().first()), 4.0);
}

#[tokio::test]
async fn a_transaction_is_billed_twice() {
    let table = Table::new();
    let put = |item: Item| {
        let put = Put::builder().table_name(VIEW).set_item(Some(item)).build().unwrap();
        TransactWriteItem::builder().put(put).build()
    };
    let puts = vec![put(view("a", 1_024)), put(view("b", 3_000))];
    let write = table.0.transact_write_items().set_transact_items(Some(puts));
    let answer = write.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.unwrap();
    assert_eq!(units(answer.consumed_capacity().first()), 8.0);
}

/// DynamoDB bills it, but neither it nor the emulator says so in the answer: what is counted is too
/// little where writers meet, or events come twice.
#[tokio::test]
async fn a_write_that_is_refused_tells_no_units_and_is_seen_as_refused() {
    let aws = FakeAws::default();
    let dynamo = aws.clients().dynamo;
    for refused in [false, true] {
        let put = dynamo.put_item().table_name(EVENTS).set_item(Some(place("a")));
        let put = put.condition_expression("attribute_not_exists(id)");
        let put = put.return_consumed_capacity(ReturnConsumedCapacity::Total);
        assert_eq!(put.send().await.is_err(), refused);
    }
    let calls = aws.state().calls.clone();
    let seen: Vec<(bool, f64)> = calls.iter().map(|call| (call.refused, call.units)).collect();
    assert_eq!(seen, [(false, 1.0), (true, 0.0)]);
}
