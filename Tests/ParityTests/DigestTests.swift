import CKernels
import Testing
import TinctureCore
import TinctureTestSupport

/// SHA-256 against the test support's own implementation, which shares no line with it.
@Suite("SHA-256")
struct DigestTests {
  @Test(
    "every length around a block", arguments: [0, 1, 3, 55, 56, 57, 63, 64, 65, 119, 128, 1000])
  func lengths(count: Int) {
    var random = SeededRandom(seed: UInt64(count))
    let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    #expect(Hexadecimal.text(SHA256.of(bytes)) == Digest.sha256(bytes))
    var pieces = SHA256()
    for start in stride(from: 0, to: count, by: 37) {
      pieces.update(Array(bytes[start..<min(count, start + 37)]))
    }
    #expect(pieces.finish() == SHA256.of(bytes))
  }

  @Test func theProcessorsInstructionsAgreeWithPlainC() {
    var random = SeededRandom(seed: 7)
    let bytes = (0..<64 * 50).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    var fast: [UInt32] = (0..<8).map { _ in UInt32(truncatingIfNeeded: random.next()) }
    var plain = fast
    tk_sha256_blocks(&fast, bytes, 50)
    tk_sha256_blocks_plain(&plain, bytes, 50)
    #expect(fast == plain)
  }
}
