//! What every [`Store`] must do, as one suite that each implementation runs.

use bytes::Bytes;

use super::{Space, Store, StoreError};

fn ensure(holds: bool, rule: &str) -> Result<(), StoreError> {
    if holds { Ok(()) } else { Err(StoreError(format!("contract broken: {rule}"))) }
}

/// Runs the suite on fresh stores. Errors name the rule that does not hold.
pub fn check<S: Store>(mut fresh: impl FnMut() -> S) -> Result<(), StoreError> {
    reads_see_the_batch(&mut fresh())?;
    scans_are_ordered_and_bounded(&mut fresh())?;
    commits_are_numbered(&mut fresh())
}

fn reads_see_the_batch(s: &mut impl Store) -> Result<(), StoreError> {
    let key = Bytes::from_static(b"k");
    ensure(s.get(Space::Data, &key)?.is_none(), "a fresh store is empty")?;
    s.put(Space::Data, key.clone(), Bytes::from_static(b"1"));
    ensure(s.get(Space::Data, &key)?.as_deref() == Some(b"1"), "a get sees the open batch")?;
    ensure(s.get(Space::Hints, &key)?.is_none(), "spaces are apart")?;
    s.commit()?;
    s.put(Space::Data, key.clone(), Bytes::from_static(b"2"));
    ensure(s.get(Space::Data, &key)?.as_deref() == Some(b"2"), "a get sees an overwrite in the open batch")?;
    s.delete(Space::Data, key.clone());
    ensure(s.get(Space::Data, &key)?.is_none(), "a get sees a delete in the open batch")?;
    ensure(s.scan(Space::Data, b"", None, 10)?.is_empty(), "a scan sees a delete in the open batch")?;
    s.commit()?;
    ensure(s.get(Space::Data, &key)?.is_none(), "a delete is kept by its commit")
}

fn scans_are_ordered_and_bounded(s: &mut impl Store) -> Result<(), StoreError> {
    for key in [5u8, 1, 9, 3, 7] {
        s.put(Space::Data, Bytes::from(vec![key]), Bytes::from(vec![key]));
        s.put(Space::Hints, Bytes::from(vec![key, 0]), Bytes::new());
        if key == 9 {
            s.commit()?;
        }
    }
    let keys = |pairs: Vec<super::Pair>| pairs.into_iter().filter_map(|(k, _)| k.first().copied()).collect::<Vec<_>>();
    ensure(
        keys(s.scan(Space::Data, &[], None, 10)?) == [1, 3, 5, 7, 9],
        "a scan is in key order over batch and commits",
    )?;
    ensure(
        keys(s.scan(Space::Data, &[3], Some(&[7]), 10)?) == [3, 5],
        "a scan includes its start and excludes its end",
    )?;
    ensure(keys(s.scan(Space::Data, &[2], None, 2)?) == [3, 5], "a scan stops at its limit")?;
    s.delete(Space::Data, Bytes::from_static(&[3]));
    ensure(keys(s.scan(Space::Data, &[1], None, 2)?) == [1, 5], "a deleted pair does not use up the limit")
}

fn commits_are_numbered(s: &mut impl Store) -> Result<(), StoreError> {
    let first = s.last_commit();
    ensure(s.commit()? == first, "an empty batch keeps the number")?;
    s.put(Space::Meta, Bytes::from_static(b"a"), Bytes::from_static(b"1"));
    ensure(s.commit()?.0 == first.0 + 1, "a batch takes the next number")?;
    ensure(s.last_commit().0 == first.0 + 1, "last_commit is the newest")
}
