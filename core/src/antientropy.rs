//! stub while compiling
use crate::{effect::AdminReply, id::*, message::Message, node::Node, store::*};
use bytes::Bytes;
#[derive(Default)]
pub(crate) struct Trees;
impl Trees {
    pub(crate) fn set_partitions(&mut self, _: &[PartitionId]) {}
    pub(crate) fn mark_dirty(&mut self, _: PartitionId) {}
    pub(crate) fn on_write(&mut self, _: PartitionId, _: &Bytes, _: u64, _: u64) {}
    pub(crate) fn built(&self) -> usize {
        0
    }
    pub(crate) fn keys(&self) -> u64 {
        0
    }
    pub(crate) fn rounds(&self, _: Incarnation) -> u64 {
        0
    }
}
impl Node {
    pub(crate) fn digest(&mut self, _: PartitionId) -> AdminReply {
        AdminReply::Refused(String::new())
    }
    pub(crate) fn tick_trees(&mut self, _: &mut dyn Store) -> Result<(), StoreError> {
        Ok(())
    }
    pub(crate) fn on_tree(&mut self, _: &mut dyn Store, _: Incarnation, _: Message) -> Result<(), StoreError> {
        Ok(())
    }
}
