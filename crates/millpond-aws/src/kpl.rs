//! Records of the Kinesis Producer Library: many user records in one, as its format says
//! (<https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>).

/// What an aggregate begins with.
const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
/// The digest that it ends with.
const DIGEST_BYTES: usize = 16;
/// Fields of the messages that are read; all others are passed over.
const RECORDS: u64 = 3;
const DATA: u64 = 3;

/// The user records in a record: itself, if it is no aggregate.
#[must_use]
pub fn user_records(record: &[u8]) -> Vec<&[u8]> {
    aggregated(record).unwrap_or_else(|| vec![record])
}

fn aggregated(record: &[u8]) -> Option<Vec<&[u8]>> {
    let (message, digest) = record.strip_prefix(&MAGIC)?.split_last_chunk::<DIGEST_BYTES>()?;
    // What only looks like one is what it is.
    if md5::compute(message).0 != *digest {
        return None;
    }
    let mut records = Vec::new();
    for field in Fields(message) {
        if let (RECORDS, record) = field? {
            let data = Fields(record).find_map(|field| match field {
                Some((DATA, data)) => Some(Some(data)),
                Some(_) => None,
                None => Some(None),
            });
            records.push(data.flatten()?);
        }
    }
    Some(records)
}

/// The fields of a Protocol Buffers message that have a length; `None` where it is damaged.
struct Fields<'m>(&'m [u8]);

impl<'m> Iterator for Fields<'m> {
    type Item = Option<(u64, &'m [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.0.is_empty() {
            match self.field() {
                Some((number, Some(bytes))) => return Some(Some((number, bytes))),
                Some((_, None)) => {}
                None => {
                    self.0 = &[];
                    return Some(None);
                }
            }
        }
        None
    }
}

impl<'m> Fields<'m> {
    fn field(&mut self) -> Option<(u64, Option<&'m [u8]>)> {
        let tag = self.varint()?;
        let bytes = match tag & 7 {
            0 => {
                self.varint()?;
                None
            }
            1 => self.take(8).map(|_| None)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                Some(self.take(length)?)
            }
            5 => self.take(4).map(|_| None)?,
            _ => return None,
        };
        Some((tag >> 3, bytes))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for place in 0..10 {
            let [byte] = *self.take(1)? else { return None };
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'m [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
        out.push(number << 3 | 2);
        let mut length = bytes.len();
        while length >= 0x80 {
            out.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(bytes);
    }

    /// An aggregate as the library writes it: a table of partition keys, then records that refer to it.
    fn aggregate(records: &[&[u8]]) -> Vec<u8> {
        let mut message = Vec::new();
        field(&mut message, 1, b"partition-key");
        field(&mut message, 2, b"170141183460469231731687303715884105728");
        for data in records {
            let mut record = vec![1 << 3, 0, 2 << 3, 0];
            field(&mut record, 3, data);
            field(&mut message, 3, &record);
        }
        [&MAGIC[..], &message, &md5::compute(&message).0].concat()
    }

    #[test]
    fn an_aggregate_is_taken_apart_in_its_order() {
        let long = vec![b'x'; 70_000];
        let records: [&[u8]; 4] = [b"{\"id\":\"1\"}", b"", b"{\"id\":\"2\"}", &long];
        assert_eq!(user_records(&aggregate(&records)), records);
        assert_eq!(user_records(&aggregate(&[])), Vec::<&[u8]>::new());
    }

    #[test]
    fn what_is_no_aggregate_stays_as_it_is() {
        let whole = aggregate(&[b"one", b"two"]);
        let mut flipped = whole.clone();
        flipped[12] ^= 1;
        for record in [&b""[..], b"{}", &MAGIC, &whole[..whole.len() - 1], &flipped, &whole[1..]] {
            assert_eq!(user_records(record), [record]);
        }
    }

    #[test]
    fn every_cut_of_a_message_ends() {
        let whole = aggregate(&[b"one", b"two"]);
        let message = &whole[4..whole.len() - DIGEST_BYTES];
        for end in 0..message.len() {
            let cut = &message[..end];
            let record = [&MAGIC[..], cut, &md5::compute(cut).0].concat();
            let records = user_records(&record);
            assert!(records == [&record[..]] || records.iter().all(|data| [&b"one"[..], b"two"].contains(data)));
        }
    }
}
