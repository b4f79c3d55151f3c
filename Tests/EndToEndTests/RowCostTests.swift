import Testing
import Tincture
import TinctureContainers

/// What a row's sums in a pack may be off by.
@Suite struct RowCostTests {
  /// Eight sums of a row of length 1, rounded to halves; two of them lie above 2, where halves are 2^-9 apart.
  static let reference: [Float] = [1, 2.5, -3.25, 0.5, 0.125, -0.75, 1.5, -1.25, 0.25]
  /// Squared error over energy of rounding to F16.
  static func cost(_ type: String) -> Double { type == "F16" ? 1e-7 : 0 }

  static func ratio(_ type: StoredType, _ change: [Int: Float]) -> Double {
    var own = reference
    for (index, step) in change { own[index] += step }
    return RowCost(type, columns: 384, cost).ratio(reference[...], own[...])
  }

  /// A sum near the border of two halves may be rounded to either; no format has to be off for that.
  @Test func halvesMayBeRoundedApart() {
    #expect(Self.ratio(.element(.f16), [1: 0x1p-9, 2: -0x1p-9]) == 0)
    #expect(Self.ratio(.element(.f16), [1: 0x1p-7]) > 40)
  }

  /// F32 holds every value: its sums are the reference's.
  @Test func floatsAreTheReferences() {
    #expect(Self.ratio(.element(.f32), [:]) == 0)
    #expect(Self.ratio(.element(.f32), [3: 0x1p-9, 4: 0x1p-9]) > 40)
  }
}
