//! Mutations: what is good, slightly wrong. The same seed makes the same ones again.

use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Bytes at which something ends or changes its meaning.
const BYTES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'0', b'"', b'\n'];

/// Numbers for lengths, and for digits in a text.
const NUMBERS: [u64; 12] = [
    0,
    1,
    2,
    15,
    255,
    65_536,
    524_289,
    0x7fff_ffff,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0xffff_ffff_ffff_fff0,
    0xffff_ffff_ffff_ffff,
];

/// The longest piece that is put in a second time.
const PIECE_BYTES_MAX: usize = 256;

/// The most changes of one input.
const CHANGES_MAX: usize = 4;

/// Endless mutations of a corpus.
pub struct Mutations {
    rng: ChaCha8Rng,
    corpus: Vec<Vec<u8>>,
}

impl Mutations {
    /// Begins with a seed; the corpus has something in it.
    pub fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), corpus }
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        match self.rng.random_range(0..10) {
            0 => self.flip_bit(bytes),
            1 => self.replace_byte(bytes),
            2 => bytes.truncate(self.place(bytes)),
            3 => self.cut_out(bytes),
            4 => self.splice(bytes),
            5 => self.edit_length(bytes),
            6 => self.nudge_length(bytes),
            7 => self.duplicate(bytes),
            8 => self.edit_digits(bytes),
            _ => self.insert(bytes),
        }
    }

    /// Returns a place from 0 to the length.
    fn place(&mut self, bytes: &[u8]) -> usize {
        self.rng.random_range(0..=bytes.len())
    }

    /// Returns the beginning and the end of a piece.
    fn piece(&mut self, bytes: &[u8]) -> (usize, usize) {
        let begin = self.place(bytes);
        let length = self.rng.random_range(0..=PIECE_BYTES_MAX);
        (begin, bytes.len().min(begin + length))
    }

    fn flip_bit(&mut self, bytes: &mut [u8]) {
        let (at, bit) = (self.place(bytes), self.rng.random_range(0..8));
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << bit;
        }
    }

    fn replace_byte(&mut self, bytes: &mut [u8]) {
        let (at, any) = (self.place(bytes), self.rng.random());
        let chosen = *BYTES.choose(&mut self.rng).unwrap();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = if self.rng.random() { any } else { chosen };
        }
    }

    fn cut_out(&mut self, bytes: &mut Vec<u8>) {
        let (begin, end) = self.piece(bytes);
        bytes.drain(begin..end);
    }

    /// Goes on like another input of the corpus.
    fn splice(&mut self, bytes: &mut Vec<u8>) {
        let other = self.corpus.choose(&mut self.rng).unwrap().clone();
        let (at, from) = (self.place(bytes), self.place(&other));
        bytes.truncate(at);
        bytes.extend_from_slice(&other[from..]);
    }

    /// Writes a number where one may stand.
    fn edit_length(&mut self, bytes: &mut [u8]) {
        let at = self.place(bytes);
        let number = NUMBERS.choose(&mut self.rng).unwrap().to_le_bytes();
        let width = *[1, 2, 4, 8].choose(&mut self.rng).unwrap();
        for (byte, new) in bytes.iter_mut().skip(at).zip(&number[..width]) {
            *byte = *new;
        }
    }

    /// Makes a number a little larger or smaller.
    fn nudge_length(&mut self, bytes: &mut [u8]) {
        let (at, by) = (self.place(bytes), self.rng.random_range(0..=32));
        if let Some(number) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *number = u32::from_le_bytes(*number).wrapping_add(by).wrapping_sub(16).to_le_bytes();
        }
    }

    /// Puts a piece in a second time, here or elsewhere.
    fn duplicate(&mut self, bytes: &mut Vec<u8>) {
        let (begin, end) = self.piece(bytes);
        let piece = bytes[begin..end].to_vec();
        let at = if self.rng.random() { end } else { self.place(bytes) };
        bytes.splice(at..at, piece);
    }

    /// Writes other digits in place of some that stand together.
    fn edit_digits(&mut self, bytes: &mut Vec<u8>) {
        let from = self.place(bytes);
        let Some(begin) = bytes[from..].iter().position(u8::is_ascii_digit) else { return };
        let begin = from + begin;
        let digits = bytes[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = NUMBERS.choose(&mut self.rng).unwrap().to_string();
        bytes.splice(begin..begin + digits, number.into_bytes());
    }

    fn insert(&mut self, bytes: &mut Vec<u8>) {
        let (at, count) = (self.place(bytes), self.rng.random_range(1..16));
        let new: Vec<u8> = (0..count).map(|_| self.rng.random()).collect();
        bytes.splice(at..at, new);
    }
}

impl Iterator for Mutations {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut bytes = self.corpus.choose(&mut self.rng)?.clone();
        for _ in 0..self.rng.random_range(1..=CHANGES_MAX) {
            self.change(&mut bytes);
        }
        Some(bytes)
    }
}
