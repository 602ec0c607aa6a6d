//! How many tokens each member should have: first each zone by its capacity, then each member within its zone.
//! Invariants: shares sum to Q*N; none exceeds Q; a zone never exceeds what its bound per partition allows.
//! Rounding favours who already has more, so that a small change of members moves few tokens.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Member;

/// One claim on tokens.
struct Claim {
    weight: u64,
    tokens_max: u64,
    kept: u64,
}

/// Tokens of each member.
pub(super) fn shares(
    partitions: usize,
    factor: usize,
    zone_owners_max: usize,
    zone_of: &[usize],
    members: &[Member],
    kept: &[usize],
) -> Vec<usize> {
    let mut zones: BTreeMap<usize, Vec<(usize, Claim)>> = BTreeMap::new();
    for (index, ((zone, member), kept)) in zone_of.iter().zip(members).zip(kept).enumerate() {
        let claim = Claim { weight: member.capacity.into(), tokens_max: partitions as u64, kept: *kept as u64 };
        zones.entry(*zone).or_default().push((index, claim));
    }
    let zone_claims: Vec<Claim> = zones
        .values()
        .map(|claims| Claim {
            weight: claims.iter().map(|(_, c)| c.weight).sum(),
            tokens_max: (partitions * claims.len().min(zone_owners_max)) as u64,
            kept: claims.iter().map(|(_, c)| c.kept).sum(),
        })
        .collect();
    let zone_tokens = apportion((partitions * factor) as u64, &zone_claims);
    let mut shares = vec![0; members.len()];
    for (claims, tokens) in zones.into_values().zip(zone_tokens) {
        let (indices, claims): (Vec<usize>, Vec<Claim>) = claims.into_iter().unzip();
        for (index, tokens) in indices.into_iter().zip(apportion(tokens, &claims)) {
            if let Some(share) = shares.get_mut(index) {
                *share = tokens as usize;
            }
        }
    }
    shares
}

/// Splits `total` by weight, none above its bound: whoever would exceed it is set to it and the rest split again.
fn apportion(total: u64, claims: &[Claim]) -> Vec<u64> {
    let mut fixed: Vec<Option<u64>> = vec![None; claims.len()];
    loop {
        let left = total.saturating_sub(fixed.iter().flatten().sum());
        let open = || claims.iter().zip(&fixed).enumerate().filter(|(_, (_, fixed))| fixed.is_none());
        let weight: u64 = open().map(|(_, (claim, _))| claim.weight).sum();
        let exact = |claim: &Claim| u128::from(left) * u128::from(claim.weight);
        let is_over = |claim: &Claim| exact(claim) > u128::from(claim.tokens_max) * u128::from(weight);
        let over: Vec<(usize, u64)> =
            open().filter(|(_, (c, _))| is_over(c)).map(|(i, (c, _))| (i, c.tokens_max)).collect();
        if over.is_empty() {
            return round(left, weight, claims, &fixed);
        }
        for (index, tokens) in over {
            if let Some(place) = fixed.get_mut(index) {
                *place = Some(tokens);
            }
        }
    }
}

/// Rounds the open shares down, then hands the rest out one each: to who keeps more than that, then to who lost most.
fn round(left: u64, weight: u64, claims: &[Claim], fixed: &[Option<u64>]) -> Vec<u64> {
    let weight = u128::from(weight.max(1));
    let exact = |claim: &Claim| u128::from(left) * u128::from(claim.weight);
    let mut tokens: Vec<u64> =
        claims.iter().zip(fixed).map(|(claim, fixed)| fixed.unwrap_or((exact(claim) / weight) as u64)).collect();
    let mut rest = left.saturating_sub(tokens.iter().zip(fixed).filter(|(_, f)| f.is_none()).map(|(t, _)| t).sum());
    let mut order: Vec<(usize, u64, u128)> = claims
        .iter()
        .enumerate()
        .zip(&tokens)
        .map(|((index, claim), floor)| (index, claim.kept.saturating_sub(*floor), exact(claim) % weight))
        .filter(|(index, _, remainder)| *remainder > 0 && fixed.get(*index).is_some_and(Option::is_none))
        .collect();
    order.sort_by_key(|(index, above, remainder)| (Reverse(*above), Reverse(*remainder), *index));
    for (index, _, _) in order {
        if let Some(place) = tokens.get_mut(index).filter(|_| rest > 0) {
            *place += 1;
            rest -= 1;
        }
    }
    tokens
}
