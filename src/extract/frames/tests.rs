use proptest::{collection::vec, prelude::*, sample::Index};

use super::{wire::HEADER, *};
use crate::document::{Block, BlockKind};

fn any_page() -> impl Strategy<Value = Page> {
    let block = (any::<bool>(), ".{0,40}").prop_map(|(header, text)| Block {
        kind: BlockKind::TableRow { header },
        text,
    });
    (any::<Option<u32>>(), vec(block, 0..5)).prop_map(|(number, blocks)| Page { number, blocks })
}

fn any_response() -> impl Strategy<Value = Response> {
    prop_oneof![
        any_page().prop_map(Response::Page),
        (".{0,40}", any::<u32>())
            .prop_map(|(mime_type, pages)| Response::Done(Done { mime_type, pages })),
        ".{0,40}".prop_map(|reason| Response::Failed(ExtractError::Corrupt { reason })),
    ]
}

fn read_all(mut pipe: &[u8], allowed: u64) -> Result<Vec<(Kind, Vec<u8>)>, FrameError> {
    let mut assembler = Assembler::new(allowed);
    let mut messages = Vec::new();
    while let Some(message) = read(&mut pipe, &mut assembler)? {
        messages.push(message);
    }
    Ok(messages)
}

proptest! {
    #[test]
    fn what_is_written_is_read(responses in vec(any_response(), 0..8)) {
        let mut pipe = Vec::new();
        let mut paid = 0;
        for response in &responses {
            let (kind, payload) = response.encode().unwrap();
            paid += cost(&payload);
            write(&mut pipe, kind, &payload).unwrap();
        }
        prop_assert_eq!(pipe.len() as u64, paid);
        let back: Vec<_> = read_all(&pipe, paid)
            .unwrap()
            .into_iter()
            .map(|(kind, payload)| Response::decode(kind, &payload).unwrap())
            .collect();
        prop_assert_eq!(back, responses);
    }

    #[test]
    fn a_long_message_is_cut_and_joined(length in 0_usize..3 * MAX_PAYLOAD + 2, fill: u8) {
        let payload = vec![fill; length];
        let mut pipe = Vec::new();
        write(&mut pipe, Kind::Bytes, &payload).unwrap();
        prop_assert_eq!(pipe.len() as u64, cost(&payload));
        let messages = read_all(&pipe, u64::MAX).unwrap();
        prop_assert!(messages == [(Kind::Bytes, payload)]);
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in vec(any::<u8>(), 0..200), kind in 0_u8..24) {
        drop(read_all(&bytes, 1 << 16));
        let mut plausible = u32::try_from(bytes.len()).unwrap().to_le_bytes().to_vec();
        plausible.push(kind);
        plausible.extend(&bytes);
        for (kind, payload) in read_all(&plausible, 1 << 16).unwrap_or_default() {
            drop(Response::decode(kind, &payload));
            drop(Request::decode(kind, payload));
        }
    }

    #[test]
    fn a_damaged_talk_is_messages_or_an_error(
        responses in vec(any_response(), 1..6),
        harms in vec((any::<Index>(), any::<u8>()), 1..6),
        end: Index,
    ) {
        let mut pipe = Vec::new();
        for response in &responses {
            let (kind, payload) = response.encode().unwrap();
            write(&mut pipe, kind, &payload).unwrap();
        }
        for (at, byte) in harms {
            let at = at.index(pipe.len());
            pipe[at] = byte;
        }
        pipe.truncate(end.index(pipe.len()) + 1);
        for (kind, payload) in read_all(&pipe, pipe.len() as u64).unwrap_or_default() {
            prop_assert!(payload.len() <= pipe.len());
            drop(Response::decode(kind, &payload));
            drop(Request::decode(kind, payload));
        }
    }

    #[test]
    fn a_head_that_is_read_is_written_the_same(bytes: [u8; HEADER]) {
        if let Ok(header) = Header::decode(bytes) {
            prop_assert_eq!(header.encode(), bytes);
        }
    }
}

#[test]
fn a_flood_is_refused_before_it_is_taken() {
    let mut pipe = Vec::new();
    write(&mut pipe, Kind::Page, &vec![b' '; 3 * MAX_PAYLOAD]).unwrap();
    let refused = read_all(&pipe, 2 * MAX_PAYLOAD as u64);
    assert!(matches!(refused, Err(FrameError::Flood(_))), "{refused:?}");
}

#[test]
fn a_pipe_that_ends_within_a_message_is_cut() {
    let mut pipe = Vec::new();
    write(&mut pipe, Kind::Bytes, b"whole").unwrap();
    for end in 1..pipe.len() {
        let cut = read_all(&pipe[..end], u64::MAX);
        assert!(matches!(cut, Err(FrameError::Cut)), "{end}: {cut:?}");
    }
}

#[test]
fn messages_do_not_mix() {
    let mut pipe = Vec::new();
    let open = Header {
        kind: Kind::Page,
        continues: true,
        length: 0,
    };
    pipe.extend(open.encode());
    write(&mut pipe, Kind::Done, b"{}").unwrap();
    assert!(matches!(read_all(&pipe, u64::MAX), Err(FrameError::Mixed)));
}

#[tokio::test]
async fn the_worker_reads_what_the_child_writes() {
    let payload = vec![7; 2 * MAX_PAYLOAD + 1];
    let mut pipe = Vec::new();
    write(&mut pipe, Kind::Page, &payload).unwrap();
    write(&mut pipe, Kind::Done, b"{}").unwrap();
    let mut pipe = &pipe[..];
    let mut assembler = Assembler::new(u64::MAX);
    let first = read_async(&mut pipe, &mut assembler).await.unwrap();
    assert_eq!(first, Some((Kind::Page, payload)));
    let second = read_async(&mut pipe, &mut assembler).await.unwrap();
    assert_eq!(second, Some((Kind::Done, b"{}".to_vec())));
    let end = read_async(&mut pipe, &mut assembler).await.unwrap();
    assert_eq!(end, None);
}
