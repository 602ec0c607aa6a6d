//! stub while compiling
use crate::{causality::State, id::*, message::Refusal, node::Node, store::*};
pub(crate) struct Hints;
impl Hints {
    pub(crate) fn open(_: &dyn Store, _: u64) -> Result<Hints, StoreError> {
        Ok(Hints)
    }
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Incarnation, u64, u64)> + '_ {
        std::iter::empty()
    }
}
impl Node {
    pub(crate) fn store_hint(
        &mut self,
        _: &mut dyn Store,
        _: Incarnation,
        _: &Key,
        _: &State,
    ) -> Result<Result<u64, Refusal>, StoreError> {
        Ok(Ok(0))
    }
    pub(crate) fn read_hints(&self, _: &dyn Store, _: &Key) -> Result<State, StoreError> {
        Ok(State::default())
    }
    pub(crate) fn tick_hints(&mut self, _: &mut dyn Store) -> Result<(), StoreError> {
        Ok(())
    }
    pub(crate) fn drain_hints(&mut self, _: &mut dyn Store, _: Incarnation) -> Result<(), StoreError> {
        Ok(())
    }
    pub(crate) fn on_handoff_ack(
        &mut self,
        _: &mut dyn Store,
        _: Incarnation,
        _: u64,
        _: u64,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }
    pub(crate) fn on_handoff_refused(&mut self, _: u64) -> bool {
        false
    }
}
