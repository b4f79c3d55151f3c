import Testing
import TinctureBlocks

@Suite struct GoldenTests {
  static let simple: [BlockFormat] = [.q8_0, .q4_0, .q4_1, .q5_0, .q5_1]
  static let quantized = BlockFormat.all.filter(\.isQuantized)

  @Test(arguments: simple)
  func plainBytesAreGGMLs(_ format: BlockFormat) throws {
    let goldens = try BlockGoldens.load()
    let ours = try format.encoded(
      BlockGoldens.floats("rows.f32"), rowLength: goldens.rowLength)
    let theirs = try BlockGoldens.bytes(format.name + ".plain")
    #expect(ours.count == theirs.count)
    let differing = zip(ours, theirs).enumerated().first { $0.element.0 != $0.element.1 }
    #expect(differing == nil, "first at byte \(differing?.offset ?? -1)")
  }

  @Test(arguments: quantized)
  func decodedBitsAreGGMLs(_ format: BlockFormat) throws {
    let theirs = try BlockGoldens.floats(format.name + ".decoded")
    let ours = format.decoded(
      try BlockGoldens.bytes(format.name + ".blocks"), rowLength: theirs.count)
    #expect(ours.count == theirs.count && !theirs.isEmpty)
    #expect(ours.map(\.bitPattern) == theirs.map(\.bitPattern))
  }

  @Test(arguments: quantized)
  func errorIsNeverAboveGGMLs(_ format: BlockFormat) throws {
    let goldens = try BlockGoldens.load()
    let rows = try BlockGoldens.floats("rows.f32")
    let recorded = try #require(goldens.ggmlErrors[format.name])
    for label in ["plain"] + goldens.importance {
      let weights = label == "plain" ? nil : try goldens.importance(label)
      let bytes = try format.encoded(rows, rowLength: goldens.rowLength, importance: weights)
      let decoded = format.decoded(bytes, rowLength: goldens.rowLength)
      for kind in goldens.kinds {
        let range = kind.first * goldens.rowLength..<(kind.first + kind.count) * goldens.rowLength
        let ours = squaredError(rows[range], decoded[range], weights)
        let theirs = try #require(recorded[label]?[kind.kind])
        #expect(ours.isFinite, "\(kind.kind), \(label)")
        guard let theirs else { continue }
        // The sums are made in another order than the recorded ones.
        #expect(ours <= theirs * (1 + 1e-12), "\(kind.kind), \(label): \(ours) against \(theirs)")
      }
    }
  }
}
