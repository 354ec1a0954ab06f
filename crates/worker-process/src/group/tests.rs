use std::thread;

use super::*;

const POLICIES: [WaitPolicy; 4] =
    [WaitPolicy::Spin, WaitPolicy::Adaptive, WaitPolicy::Yield, WaitPolicy::Block];

/// Lets a thread for each member do `work`.
fn all(size: usize, policy: WaitPolicy, work: impl Fn(GroupMember) + Sync) {
    let group = Group::create(size).unwrap();
    thread::scope(|scope| {
        for rank in 0..size {
            let (group, work) = (group.clone(), &work);
            scope.spawn(move || work(group.member(rank, Waiting { policy, crowded: None })));
        }
    });
}

#[test]
fn everybody_sees_what_everybody_said_in_the_same_round() {
    for policy in POLICIES {
        for size in 1..=4 {
            all(size, policy, |mut member| {
                let own = member.rank();
                for round in 0..60_u64 {
                    let short = [round as u8 ^ own as u8; Group::SHORT];
                    let counts: Vec<usize> = (0..size).map(|i| i + own).collect();
                    let n = (round % 25) as usize;
                    member.meet([round, own as u64, 7, u64::MAX], &short[..n], &counts).unwrap();
                    for rank in 0..size {
                        assert_eq!(member.said(rank), [round, rank as u64, 7, u64::MAX]);
                        let mut theirs = vec![0; n.saturating_sub(1)];
                        member.short(rank, n - theirs.len(), &mut theirs);
                        assert!(theirs.iter().all(|byte| *byte == round as u8 ^ rank as u8));
                        assert!(member.counts(rank, size).into_iter().eq(rank..rank + size));
                    }
                }
            });
        }
    }
}

/// The bytes of a block, which differ in all respects.
fn block(round: u64, rank: usize, step: u64) -> Vec<u8> {
    let n = 1 + (round * 7919 + step * 104_729 + rank as u64 * 31) % Group::BLOCK as u64;
    (0..n).map(|i| (i ^ round ^ (step << 3) ^ rank as u64) as u8).collect()
}

/// Some give in some rounds, and others take, some of them slowly; in few steps and in many.
#[test]
fn blocks_come_whole_and_in_order_however_slow_some_are() {
    for policy in [WaitPolicy::Yield, WaitPolicy::Block] {
        for size in 2..=4 {
            all(size, policy, |mut member| {
                let own = member.rank();
                for round in 0..40_u64 {
                    let n_steps = [0, 1, 3, 6, 7, 8, 9, 40][(round * 5 % 8) as usize];
                    let gives = |rank: usize| !(round as usize + rank).is_multiple_of(3);
                    if n_steps > 0 && gives(own) {
                        member.early(0, &block(round, own, 0)).unwrap();
                    }
                    member.meet([round, 0, 0, 0], &[], &[]).unwrap();
                    member.steps(n_steps);
                    let takes = !(round as usize + own).is_multiple_of(2);
                    if !takes {
                        member.taken(n_steps);
                    }
                    for step in 0..n_steps {
                        if step > 0 && gives(own) {
                            let bytes = block(round, own, step);
                            let (head, tail) = bytes.split_at(bytes.len() / 2);
                            member.put(step, head.len(), tail).unwrap();
                            member.put(step, 0, head).unwrap();
                            member.is_put(step);
                        }
                        if takes {
                            for rank in (0..size).filter(|rank| *rank != own && gives(*rank)) {
                                let expected = block(round, rank, step);
                                let mut found = vec![0; expected.len()];
                                member.take(rank, step, 0, &mut found).unwrap();
                                assert!(found == expected, "round {round}, step {step}");
                            }
                            member.taken(step + 1);
                        }
                        if (round + step + own as u64).is_multiple_of(11) {
                            thread::yield_now();
                        }
                    }
                    member.finish();
                }
            });
        }
    }
}

#[test]
fn who_waits_for_one_that_left_hears_which_and_why() {
    for policy in POLICIES {
        all(3, policy, |mut member| {
            member.meet([0; 4], b"", &[]).unwrap();
            if member.rank() == 2 {
                return member.group().leave(2, "it had enough");
            }
            let error = member.meet([1; 4], b"", &[]).unwrap_err();
            let left = GroupError::Left { rank: 2, reason: "it had enough".to_owned() };
            assert_eq!((&error, member.meet([2; 4], b"", &[]).unwrap_err()), (&left, left.clone()));
        });
    }
}

/// What a member gave before it left is there for those who are late.
#[test]
fn a_member_that_leaves_in_time_is_not_missed() {
    for policy in POLICIES {
        for n_steps in [1, 6, 8] {
            all(2, policy, |mut member| {
                let gives = member.rank() == 0;
                if gives {
                    member.early(0, &[9; 100]).unwrap();
                }
                member.meet([0; 4], &[5], &[]).unwrap();
                member.steps(n_steps);
                if gives {
                    member.taken(n_steps);
                    for step in 1..n_steps {
                        member.put(step, 0, &[9; 100]).unwrap();
                        member.is_put(step);
                    }
                    return member.group().leave(0, "done");
                }
                while member.group().first_left().is_none() {
                    thread::yield_now();
                }
                let mut bytes = [0; 100];
                for step in 0..n_steps {
                    member.take(0, step, 0, &mut bytes).unwrap();
                    assert_eq!(bytes, [9; 100]);
                }
                member.finish();
                assert!(matches!(
                    member.meet([0; 4], &[], &[]),
                    Err(GroupError::Left { rank: 0, .. })
                ));
            });
        }
    }
}

#[test]
fn cancelling_reaches_who_waits_and_who_comes_later() {
    for policy in POLICIES {
        let group = Group::create(3).unwrap();
        thread::scope(|scope| {
            let wait = |rank| {
                let waiting = Waiting { policy, crowded: Some(rank == 0) };
                let mut member = group.member(rank, waiting);
                scope.spawn(move || member.meet([0; 4], b"", &[]))
            };
            let waiting = [wait(0), wait(1)];
            group.cancel();
            for thread in waiting {
                assert_eq!(thread.join().unwrap(), Err(GroupError::Cancelled));
            }
        });
        let late = group.member(2, Waiting { policy, crowded: None }).meet([0; 4], b"", &[]);
        assert_eq!(late, Err(GroupError::Cancelled));
    }
}

/// Signs that are not in the memory are looked for while a member waits, also while it sleeps.
#[test]
fn who_waits_looks_around() {
    for policy in POLICIES {
        let group = Group::create(2).unwrap();
        let theirs = group.clone();
        let waiting = Waiting { policy, crowded: None };
        let member = group.member(0, waiting).looking_around(move || theirs.leave(1, "a sign"));
        let mut member = member;
        let left = GroupError::Left { rank: 1, reason: "a sign".to_owned() };
        assert_eq!(member.meet([0; 4], b"", &[]), Err(left));
    }
}

#[test]
fn memory_that_is_too_short_is_refused() {
    let group = Group::create(2).unwrap();
    let fd = || group.fd().try_clone_to_owned().unwrap();
    assert!(Group::open(fd(), 2).is_ok());
    for size in [0, 9] {
        assert_eq!(Group::open(fd(), size).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
