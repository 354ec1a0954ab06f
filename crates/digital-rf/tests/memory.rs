//! Reading samples allocates nothing once their files are open.

use digital_rf::{ChannelConfig, ChannelWriter, Reader, SampleRate};
use num_complex::{Complex, Complex32};

mod counting;

#[test]
fn reading_from_open_files_takes_no_memory() {
    const START: u64 = 1_618_229_740_000_000;
    for (compression, nsub) in [(0, 1), (0, 3), (4, 1)] {
        let top = tempfile::tempdir().unwrap();
        let config = ChannelConfig {
            file_cadence_ms: 10,
            num_subchannels: nsub,
            compression,
            ..ChannelConfig::new(SampleRate::from_hz(1_000_000).unwrap(), START)
        };
        let mut writer = ChannelWriter::create(top.path().join("rx"), config).unwrap();
        let samples: Vec<_> = (0..30_000 * nsub).map(|k| Complex::new(k as i16, 1)).collect();
        writer.write(&samples).unwrap();
        writer.finish().unwrap();
        let channel = Reader::open(top.path()).unwrap().channel("rx").unwrap();
        let mut out = vec![Complex32::default(); 25_000];
        let mut read = |start: u64| channel.read_complex32(START + start, nsub - 1, &mut out);
        assert!(counting::peak(|| read(0).unwrap()) > 0, "opening files takes some memory");
        let peak = counting::peak(|| (0..5000).step_by(500).for_each(|k| read(k).unwrap()));
        assert_eq!(peak, 0, "compression {compression}, {nsub} sub-channels");
    }
}
