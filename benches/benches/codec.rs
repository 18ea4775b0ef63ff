//! Writing and reading a frame, in both codecs; reading validates every byte.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use gavel_benches::{open_rfq, set_standing_quote};
use gavel_protocol::{Codec, Command, Frames};

fn codec(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    for command in [set_standing_quote(1), open_rfq(1)] {
        for codec in Codec::ALL {
            let mut frame = Vec::new();
            command.encode(codec, 1, &mut frame);
            let id = |what| BenchmarkId::new(format!("{what} {codec:?}"), command.template_name());
            let mut out = Vec::with_capacity(frame.len());
            group.bench_function(id("encode"), |b| {
                b.iter(|| {
                    out.clear();
                    black_box(&command).encode(codec, 1, &mut out);
                    black_box(out.len())
                });
            });
            group.bench_function(id("decode"), |b| {
                b.iter(|| decode(codec, black_box(&frame)));
            });
        }
    }
    group.finish();
}

fn decode(codec: Codec, frame: &[u8]) -> Command {
    let frame = Frames::new(frame).next_frame();
    let (header, payload) = frame.expect("a frame that was just written").expect("all of it");
    let command = Command::decode(codec, header.template, payload);
    command.expect("the template of a command").expect("a payload that was just written")
}

criterion_group!(benches, codec);
criterion_main!(benches);
