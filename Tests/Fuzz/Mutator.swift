/// Damages inputs: flips, splices, tampered lengths and numbers, words of the format.
struct Mutator {
  var random: RandomSource
  let words: [[UInt8]]
  /// Inputs that splices take pieces of.
  var pool: [[UInt8]]
  let limit: Int

  private static let numbers: [UInt64] = [
    0, 1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 31, 32, 33, 63, 64, 65, 127, 128, 255, 256, 1000, 0x7fff,
    0xffff, 0x10000, 100_000_000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 32, 1 << 53, 1 << 60,
    1 << 61, 1 << 62, 0x7fff_ffff_ffff_ffff, 1 << 63, .max - 31, .max - 7, .max - 1, .max,
  ]

  private static let digits: [String] = [
    "0", "-1", "1e9", "-0", "1.5", "2147483648", "4294967296", "9223372036854775807",
    "9223372036854775808", "18446744073709551615", "18446744073709551616", "1e400", "NaN", "null",
    "true", "[]", "{}", "\"\"", "\"\\ud800\"", "\\u0000",
  ]

  /// A damaged copy of `input`.
  mutating func mutated(_ input: [UInt8]) -> [UInt8] {
    var bytes = input
    let steps = random.oneIn(4) ? 1 + random.below(8) : 1 + random.below(2)
    for _ in 0..<steps { mutate(&bytes) }
    if bytes.count > limit { bytes.removeSubrange(limit...) }
    return bytes
  }

  private mutating func mutate(_ bytes: inout [UInt8]) {
    guard !bytes.isEmpty else {
      bytes.append(UInt8(truncatingIfNeeded: random.next()))
      return
    }
    let at = random.below(bytes.count)
    switch random.below(14) {
    case 0: bytes[at] ^= 1 << UInt8(random.below(8))
    case 1: bytes[at] = UInt8(truncatingIfNeeded: random.next())
    case 2: overwrite(&bytes, at: at, width: 8, with: number(bytes.count))
    case 3: overwrite(&bytes, at: at, width: 4, with: number(bytes.count))
    case 4: tamperLength(&bytes)
    case 5: bytes.removeSubrange(at..<min(bytes.count, at + 1 + random.below(16)))
    case 6: bytes.removeSubrange(at...)
    case 7:
      let piece = Array(bytes[at..<min(bytes.count, at + 1 + random.below(64))])
      bytes.insert(contentsOf: piece, at: random.below(bytes.count + 1))
    case 8: splice(&bytes, at: at)
    case 9: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: at)
    case 10 where !words.isEmpty:
      replaceOrInsert(&bytes, at: at, words[random.below(words.count)])
    case 11: replaceDigits(&bytes, from: at)
    case 12:
      let count = 1 + random.below(256)
      bytes.append(
        contentsOf: repeatElement(UInt8(truncatingIfNeeded: random.next()), count: count))
    default:
      let other = random.below(bytes.count)
      bytes.swapAt(at, other)
    }
  }

  private mutating func number(_ size: Int) -> UInt64 {
    switch random.below(4) {
    case 0: UInt64(max(0, size - 40 + random.below(80)))
    case 1: random.next() >> UInt64(random.below(64))
    default: Mutator.numbers[random.below(Mutator.numbers.count)]
    }
  }

  private func overwrite(_ bytes: inout [UInt8], at: Int, width: Int, with number: UInt64) {
    for index in 0..<width where at + index < bytes.count {
      bytes[at + index] = UInt8(truncatingIfNeeded: number >> (8 * UInt64(index)))
    }
  }

  /// Changes a field that looks like a length: eight or four bytes whose value is below the file's size.
  private mutating func tamperLength(_ bytes: inout [UInt8]) {
    guard bytes.count >= 8 else { return }
    let start = random.below(bytes.count - 7)
    for step in 0..<min(64, bytes.count - 7) {
      let at = (start + step) % (bytes.count - 7)
      let value = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[at + $1]) << (8 * UInt64($1)) }
      guard value > 0, value <= UInt64(bytes.count) else { continue }
      let change = UInt64(1 + random.below(8))
      let changed = random.oneIn(2) ? value &+ change : value &- change
      overwrite(&bytes, at: at, width: 8, with: random.oneIn(3) ? number(bytes.count) : changed)
      return
    }
  }

  private mutating func splice(_ bytes: inout [UInt8], at: Int) {
    let other = pool[random.below(pool.count)]
    guard !other.isEmpty else { return }
    let from = random.below(other.count)
    let piece = other[from..<min(other.count, from + 1 + random.below(200))]
    if random.oneIn(2) {
      bytes.replaceSubrange(at..<min(bytes.count, at + piece.count), with: piece)
    } else {
      bytes.insert(contentsOf: piece, at: at)
    }
  }

  private mutating func replaceOrInsert(_ bytes: inout [UInt8], at: Int, _ word: [UInt8]) {
    let end = random.oneIn(2) ? min(bytes.count, at + word.count) : at
    bytes.replaceSubrange(at..<end, with: word)
  }

  private mutating func replaceDigits(_ bytes: inout [UInt8], from: Int) {
    let isDigit: (UInt8) -> Bool = { $0 >= 0x30 && $0 <= 0x39 }
    guard let first = bytes[from...].firstIndex(where: isDigit) else { return }
    let end = bytes[first...].firstIndex { !isDigit($0) } ?? bytes.count
    bytes.replaceSubrange(
      first..<end, with: Mutator.digits[random.below(Mutator.digits.count)].utf8)
  }
}
