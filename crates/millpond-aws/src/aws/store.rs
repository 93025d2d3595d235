//! The store port on DynamoDB, and on SQS for what cannot be joined.

use std::collections::HashMap;

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConsumedCapacity, DeleteRequest, Put, ReturnConsumedCapacity, ReturnValuesOnConditionCheckFailure,
    TransactWriteItem, WriteRequest,
};
use millpond_core::store::{Inserted, LateEvent, Page, Quarantined, Row, Store, Written};
use millpond_core::{Join, Position, View};

use super::error::Error;
use super::pace::{Judged, Pace, never};
use super::queues::Queues;
use crate::items::{self, Item, StoredView};
use crate::meter::{Meter, Metric, Units};

/// Requests of a BatchWriteItem; its limit.
const DELETES_A_CALL: usize = 25;
/// A view and its snapshot's item that do not belong together are read again so often: each time,
/// somebody else has made a snapshot in between.
const SPLIT_READS_MAX: u32 = 8;

/// Names of the tables.
#[derive(Clone, Debug)]
pub struct Tables {
    /// Rows.
    pub events: String,
    /// Views.
    pub view: String,
}

/// The tables and queues of a join, for one invocation.
pub struct DynamoStore<'s> {
    /// The definition whose views they are.
    pub join: &'s Join,
    /// Which deployment of a definition this is.
    pub generation: u64,
    /// Where rows and views are.
    pub dynamo: &'s aws_sdk_dynamodb::Client,
    /// Their names.
    pub tables: &'s Tables,
    /// Where late and quarantined events go.
    pub queues: Queues<'s>,
    /// Until when calls are tried again.
    pub pace: &'s Pace,
    /// What is counted.
    pub meter: &'s Meter,
    /// Whether views that grew too large are looked at again.
    pub heals: bool,
}

/// How an item is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// As it is now.
    Newest,
    /// As it is or was a moment ago, at half the price.
    Cheapest,
}

/// The condition of a write over a version.
struct Over {
    expression: &'static str,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Over {
    fn new(before: Option<&View>) -> Self {
        let Some(before) = before else {
            let names = HashMap::from([("#v".to_owned(), items::VERSION.to_owned())]);
            return Self { expression: "attribute_not_exists(#v)", names, values: HashMap::new() };
        };
        Self {
            expression: "#v = :before",
            names: HashMap::from([("#v".to_owned(), items::VERSION.to_owned())]),
            values: HashMap::from([(":before".to_owned(), AttributeValue::N(before.version.to_string()))]),
        }
    }
}

impl DynamoStore<'_> {
    fn wrote(&self, capacity: Option<&ConsumedCapacity>) {
        self.meter.capacity(capacity, Units::Write);
    }

    fn read(&self, capacity: Option<&ConsumedCapacity>, items: usize) {
        self.meter.capacity(capacity, Units::Read);
        self.meter.add(Metric::ItemsRead, items as u64);
    }

    async fn item(&self, table: &str, key: Item, reading: Reading) -> Result<Option<Item>, Error> {
        let call = || {
            let get = self.dynamo.get_item().table_name(table).set_key(Some(key.clone()));
            let get = get.consistent_read(reading == Reading::Newest);
            get.return_consumed_capacity(ReturnConsumedCapacity::Total).send()
        };
        let answer = self.pace.call("dynamodb:GetItem", call, never).await?;
        self.read(answer.consumed_capacity(), usize::from(answer.item.is_some()));
        Ok(answer.item)
    }

    /// The item of a key's view, as it is stored.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn view_item(&self, key: &str) -> Result<Option<Item>, Error> {
        self.item(&self.tables.view, id(key), Reading::Newest).await
    }

    /// A page of the view table, in no order: the items of views and of snapshots, and where to go
    /// on.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn view_items(&self, start: Option<Item>) -> Result<(Vec<Item>, Option<Item>), Error> {
        let call = || {
            let scan = self.dynamo.scan().table_name(&self.tables.view).consistent_read(true);
            scan.set_exclusive_start_key(start.clone()).return_consumed_capacity(ReturnConsumedCapacity::Total).send()
        };
        let answer = self.pace.call("dynamodb:Scan", call, never).await?;
        self.read(answer.consumed_capacity(), answer.items().len());
        Ok((answer.items.unwrap_or_default(), answer.last_evaluated_key))
    }

    async fn put_view_item(&self, before: Option<&View>, item: Item) -> Result<Written, Error> {
        let over = Over::new(before);
        let call = || async {
            let put = self.dynamo.put_item().table_name(&self.tables.view).set_item(Some(item.clone()));
            let put =
                put.condition_expression(over.expression).set_expression_attribute_names(Some(over.names.clone()));
            let put =
                put.set_expression_attribute_values(Some(over.values.clone()).filter(|values| !values.is_empty()));
            let answer = put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await?;
            self.wrote(answer.consumed_capacity());
            Ok(Written::Done)
        };
        let judge = |error: &PutItemError, _| match error {
            PutItemError::ConditionalCheckFailedException(_) => Judged::Answer(Written::Conflict),
            _ => Judged::ByItsCode,
        };
        self.pace.call("dynamodb:PutItem", call, judge).await
    }

    async fn put_both(&self, before: Option<&View>, view: Item, snapshot: Item) -> Result<Written, Error> {
        let over = Over::new(before);
        let table = &self.tables.view;
        let put = Put::builder().table_name(table).set_item(Some(view)).condition_expression(over.expression);
        let put = put.set_expression_attribute_names(Some(over.names));
        let put = put.set_expression_attribute_values(Some(over.values).filter(|values| !values.is_empty()));
        let puts = [put, Put::builder().table_name(table).set_item(Some(snapshot))]
            .map(|put| TransactWriteItem::builder().put(put.build().expect("a table and an item are given")).build());
        let call = || async {
            let write = self.dynamo.transact_write_items().set_transact_items(Some(puts.to_vec()));
            let answer = write.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await?;
            answer.consumed_capacity().iter().for_each(|capacity| self.wrote(Some(capacity)));
            Ok(Written::Done)
        };
        let judge = |error: &TransactWriteItemsError, _| match error {
            TransactWriteItemsError::TransactionCanceledException(canceled) => {
                let codes: Vec<_> = canceled.cancellation_reasons().iter().filter_map(|reason| reason.code()).collect();
                let is_fault = |code: &&str| ["ValidationError", "ItemCollectionSizeLimitExceeded"].contains(code);
                if codes.contains(&"ConditionalCheckFailed") {
                    Judged::Answer(Written::Conflict)
                } else if codes.iter().any(is_fault) {
                    Judged::ByItsCode
                } else {
                    Judged::Again // another transaction, or throttled
                }
            }
            _ => Judged::ByItsCode,
        };
        self.pace.call("dynamodb:TransactWriteItems", call, judge).await
    }

    /// Marks the view; what it showed before stays.
    async fn mark_overflow(&self, key: &str, before: Option<&View>, next: &View) -> Result<Written, Error> {
        let Over { expression, mut names, mut values } = Over::new(before);
        let mut sets = Vec::new();
        for (n, (name, value)) in items::overflow_marks(next, self.generation).into_iter().enumerate() {
            sets.push(format!("#m{n} = :m{n}"));
            names.insert(format!("#m{n}"), name);
            values.insert(format!(":m{n}"), value);
        }
        let mut update = format!("SET {}", sets.join(", "));
        // The view is this definition's from now on: what another one has made of it is not to be built upon.
        if before.is_some_and(|before| before.fingerprint != next.fingerprint) {
            let others = items::made_by_another(next);
            update +=
                &format!(" REMOVE {}", (0..others.len()).map(|n| format!("#o{n}")).collect::<Vec<_>>().join(", "));
            names.extend(others.into_iter().enumerate().map(|(n, name)| (format!("#o{n}"), name.to_owned())));
        }
        let call = || async {
            let change = self.dynamo.update_item().table_name(&self.tables.view).set_key(Some(id(key)));
            let change = change.update_expression(&update).condition_expression(expression);
            let change = change.set_expression_attribute_names(Some(names.clone()));
            let change = change.set_expression_attribute_values(Some(values.clone()));
            let answer = change.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await?;
            self.wrote(answer.consumed_capacity());
            Ok(Written::Done)
        };
        let judge = |error: &UpdateItemError, _| match error {
            UpdateItemError::ConditionalCheckFailedException(_) => Judged::Answer(Written::Conflict),
            _ => Judged::ByItsCode,
        };
        match self.pace.call("dynamodb:UpdateItem", call, judge).await? {
            Written::Done => Err(Error::Overflow { key: key.to_owned() }),
            Written::Conflict => Ok(Written::Conflict),
        }
    }

    /// Deletes the item of a key's snapshot, if it has one.
    ///
    /// # Errors
    /// If it is not known to be gone.
    pub async fn delete_snapshot_item(&self, key: &str) -> Result<(), Error> {
        let call = || async {
            let delete = self.dynamo.delete_item().table_name(&self.tables.view);
            let delete = delete.set_key(Some(id(&items::snapshot_id(key))));
            let answer = delete.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await?;
            self.wrote(answer.consumed_capacity());
            Ok(())
        };
        self.pace.call("dynamodb:DeleteItem", call, never::<DeleteItemError, _>).await
    }

    /// The same store, for those who look again at views that grew too large.
    #[must_use]
    pub fn that_heals(self) -> Self {
        Self { heals: true, ..self }
    }

    /// Says in a view that rows may be stored which it has not folded: whoever is next refolds.
    ///
    /// # Errors
    /// If it is not known to be said.
    pub async fn mark_behind(&self, key: &str) -> Result<(), Error> {
        let call = || async {
            let change = self.dynamo.update_item().table_name(&self.tables.view).set_key(Some(id(key)));
            let change =
                change.update_expression("SET #b = :true, #v = #v + :one").condition_expression("attribute_exists(#v)");
            let change =
                change.expression_attribute_names("#b", items::BEHIND).expression_attribute_names("#v", items::VERSION);
            let change = change.expression_attribute_values(":true", AttributeValue::Bool(true));
            let change = change.expression_attribute_values(":one", AttributeValue::N("1".to_owned()));
            let answer = change.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await?;
            self.wrote(answer.consumed_capacity());
            Ok(())
        };
        let judge = |error: &UpdateItemError, _| match error {
            UpdateItemError::ConditionalCheckFailedException(_) => Judged::Answer(()), // without a view, all is folded
            _ => Judged::ByItsCode,
        };
        self.pace.call("dynamodb:UpdateItem", call, judge).await
    }
}

impl Store for DynamoStore<'_> {
    type Error = Error;

    async fn view(&self, key: &str) -> Result<Option<View>, Error> {
        for attempt in 1..=SPLIT_READS_MAX {
            let Some(item) = self.view_item(key).await? else { return Ok(None) };
            let theirs = items::generation(&item)?;
            if theirs > self.generation {
                return Err(Error::Superseded { key: key.to_owned(), theirs, ours: self.generation });
            }
            let StoredView { view, is_split, is_overflow } = items::view(self.join, &item)?;
            if is_overflow && !self.heals {
                return Err(Error::Overflow { key: key.to_owned() });
            }
            if !is_split {
                return Ok(Some(*view));
            }
            let snapshot = self.item(&self.tables.view, id(&items::snapshot_id(key)), Reading::Newest).await?;
            if let Some(view) = items::joined(self.join, view, snapshot.as_ref())? {
                return Ok(Some(*view));
            }
            if !self.pace.wait(attempt).await {
                break;
            }
        }
        let why = "others made one snapshot after the other".to_owned();
        Err(Error::Unavailable { what: "reading a view and its snapshot", attempts: SPLIT_READS_MAX, why })
    }

    /// Half the price of [`Store::view`].
    async fn glance(&self, key: &str) -> Result<Option<View>, Error> {
        let Some(item) = self.item(&self.tables.view, id(key), Reading::Cheapest).await? else { return Ok(None) };
        let StoredView { view, is_split, is_overflow } = items::view(self.join, &item)?;
        // Whatever is not plain is looked at in its newest version.
        if is_overflow || items::generation(&item)? > self.generation {
            return Ok(None);
        }
        if !is_split {
            return Ok(Some(*view));
        }
        let snapshot = self.item(&self.tables.view, id(&items::snapshot_id(key)), Reading::Cheapest).await?;
        Ok(items::joined(self.join, view, snapshot.as_ref())?.map(|view| *view))
    }

    async fn put_view(&self, key: &str, before: Option<&View>, next: &View) -> Result<Written, Error> {
        let Ok(items) = items::view_items(self.join, key, next, self.generation) else {
            return self.mark_overflow(key, before, next).await;
        };
        let snapshot_before = before.and_then(|before| before.snapshot.as_ref());
        let is_new = snapshot_before.map(|snapshot| &snapshot.through) != next.through();
        match items.snapshot.filter(|_| is_new) {
            None => self.put_view_item(before, items.view).await,
            // The snapshot has an item of its own: both or none.
            Some(snapshot) => self.put_both(before, items.view, snapshot).await,
        }
    }

    async fn row(&self, key: &str, position: &Position) -> Result<Option<Row>, Error> {
        let item = self.item(&self.tables.events, place(key, position), Reading::Newest).await?;
        Ok(item.map(|item| items::row(&item).map(|(_, row)| row)).transpose()?)
    }

    async fn insert_row(&self, key: &str, row: &Row) -> Result<Inserted, Error> {
        let item = items::row_item(key, row);
        let call = || async {
            let put = self.dynamo.put_item().table_name(&self.tables.events).set_item(Some(item.clone()));
            let put =
                put.condition_expression("attribute_not_exists(#id)").expression_attribute_names("#id", items::ID);
            let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
            let answer = put.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await?;
            self.wrote(answer.consumed_capacity());
            Ok(None)
        };
        let judge = |error: &PutItemError, attempt| match error {
            PutItemError::ConditionalCheckFailedException(failed) => {
                Judged::Answer(Some((failed.item.clone(), attempt)))
            }
            _ => Judged::ByItsCode,
        };
        let Some((present, attempt)) = self.pace.call("dynamodb:PutItem", call, judge).await? else {
            return Ok(Inserted::New);
        };
        let present = match present {
            Some(item) => items::row(&item)?.1,
            None => match self.row(key, &row.position).await? {
                Some(present) => present,
                None => return Ok(Inserted::Present(row.clone())), // it was there, and is deleted since
            },
        };
        // An attempt before may have been carried out without an answer.
        if attempt > 0 && present == *row { Ok(Inserted::New) } else { Ok(Inserted::Present(present)) }
    }

    async fn rows(&self, key: &str, after: Option<&Position>, through: Option<&Position>) -> Result<Page, Error> {
        let text = |position: &Position| AttributeValue::S(items::sequence(position.at()));
        let mut values = HashMap::from([(":id".to_owned(), AttributeValue::S(key.to_owned()))]);
        values.extend(after.map(|after| (":after".to_owned(), text(after))));
        values.extend(through.map(|through| (":through".to_owned(), text(through))));
        let range = match (after, through) {
            (None, None) => "",
            (Some(_), None) => " AND #s > :after",
            (None, Some(_)) => " AND #s <= :through",
            (Some(after), Some(through)) if after >= through => return Ok(Page::default()),
            (Some(_), Some(_)) => " AND #s BETWEEN :after AND :through", // the first of which is known
        };
        let condition = format!("#id = :id{range}");
        let mut start = None;
        loop {
            let call = || {
                let query = self.dynamo.query().table_name(&self.tables.events).consistent_read(true);
                let query = query.key_condition_expression(&condition).expression_attribute_names("#id", items::ID);
                let query =
                    if range.is_empty() { query } else { query.expression_attribute_names("#s", items::SEQUENCE) };
                let query = query.set_expression_attribute_values(Some(values.clone()));
                let query = query.set_exclusive_start_key(start.clone());
                query.return_consumed_capacity(ReturnConsumedCapacity::Total).send()
            };
            let answer = self.pace.call("dynamodb:Query", call, never).await?;
            self.read(answer.consumed_capacity(), answer.items().len());
            let rows: Vec<Row> =
                answer.items().iter().map(|item| Ok(items::row(item)?.1)).collect::<Result<_, Error>>()?;
            let rows: Vec<Row> = rows.into_iter().filter(|row| after != Some(&row.position)).collect();
            // A page may end at a limit with nothing in it, and still have others behind it.
            let more = answer.last_evaluated_key.is_some();
            if !rows.is_empty() || !more {
                return Ok(Page { rows, more });
            }
            start = answer.last_evaluated_key;
        }
    }

    async fn delete_rows(&self, key: &str, positions: &[Position]) -> Result<Vec<Position>, Error> {
        let mut left = Vec::new();
        for chunk in positions.chunks(DELETES_A_CALL) {
            let delete = |position: &Position| {
                let delete = DeleteRequest::builder().set_key(Some(place(key, position))).build();
                WriteRequest::builder().delete_request(delete.expect("a key is given")).build()
            };
            let requests: Vec<WriteRequest> = chunk.iter().map(delete).collect();
            let call = || {
                let write = self.dynamo.batch_write_item().request_items(&self.tables.events, requests.clone());
                write.return_consumed_capacity(ReturnConsumedCapacity::Total).send()
            };
            let answer = self.pace.call("dynamodb:BatchWriteItem", call, never).await?;
            answer.consumed_capacity().iter().for_each(|capacity| self.wrote(Some(capacity)));
            let unprocessed = answer.unprocessed_items.unwrap_or_default().into_values().flatten();
            left.extend(
                unprocessed.filter_map(|request| {
                    items::position(request.delete_request?.key.get(items::SEQUENCE)?.as_s().ok()?)
                }),
            );
        }
        if !left.is_empty() {
            self.pace.wait(1).await; // the driver tries them again
        }
        Ok(left)
    }

    async fn keep_late(&self, late: &LateEvent) -> Result<Inserted, Error> {
        self.queues.keep_late(late, self.pace).await?;
        tracing::warn!(key = &*late.key, position = %late.row.position, closed = %late.closed, "late");
        Ok(Inserted::New)
    }

    async fn keep_quarantined(&self, quarantined: &Quarantined) -> Result<(), Error> {
        self.queues.keep_quarantined(quarantined, self.pace).await
    }
}

fn id(key: &str) -> Item {
    Item::from([(items::ID.to_owned(), AttributeValue::S(key.to_owned()))])
}

fn place(key: &str, position: &Position) -> Item {
    let mut place = id(key);
    place.insert(items::SEQUENCE.to_owned(), AttributeValue::S(items::sequence(position.at())));
    place
}
